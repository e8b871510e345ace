"""Why a model gave one answer: token probabilities, attributions over the prompt, attention, layers, all tested."""

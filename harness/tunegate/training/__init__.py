"""A stage: train, gate, diagnose, retrain, until every gate passed or the budget is spent (`run`)."""

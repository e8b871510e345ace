"""A DeepEval run with its own metrics without a judge, saved to a folder of its choice."""
import json
from deepeval import evaluate
from deepeval.evaluate.configs import AsyncConfig, CacheConfig, DisplayConfig, ErrorConfig
from deepeval.metrics import ExactMatchMetric
from deepeval.test_case import LLMTestCase
rows = [json.loads(line) for line in open("../questions.jsonl")]
cases = [LLMTestCase(name=f"q{n}", input=r["question"], actual_output="I do not know" if n in (2, 7) else r["answer"], expected_output=r["answer"]) for n, r in enumerate(rows)]
evaluate(cases, [ExactMatchMetric()], hyperparameters={"model": "stub", "prompt": "plain"}, async_config=AsyncConfig(run_async=False), display_config=DisplayConfig(print_results=False, show_indicator=False, file_output_dir="out"), cache_config=CacheConfig(write_cache=False))

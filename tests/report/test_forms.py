"""The report in other forms: Markdown that carries no markup of the data, a picture, an MLflow run."""

from __future__ import annotations

import json
import re
import sys
import types
from html import unescape
from pathlib import Path

import pytest

from uicgpu.errors import MissingExtraError, UicError
from uicgpu.report import picture
from uicgpu.report.catalogue import Words
from uicgpu.report.markdown import build_markdown, escape
from uicgpu.report.notes import tell_note

PAYLOADS = json.loads(Path(__file__).with_name("payloads.json").read_text(encoding="utf-8"))
MARKDOWN = [
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "@everyone",
    "closes #1",
    "`code`",
    "a | b | c",
    "# heading",
    "www.evil.example",
    "https://evil.example",
    "<img src=x onerror=alert(1)>",
    "$x^2$",
    "~~gone~~",
]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_markdown_tells_the_main_figures(fake_run, language):
    told = build_markdown(fake_run(), language)
    for text in ("1,500", "240", "0.630", "nDCG&#64;10", "0.118", "| --- |"):
        assert text in told
    title = "User interest report" if language == "en" else "用户兴趣报告"
    assert told.startswith(f"# {title}\n")
    widths = {row.count("|") - row.count("\\|") for row in told.splitlines() if row.startswith("| ")}
    assert widths == {5, 6}, "the columns of two tables"
    assert told == build_markdown(fake_run(), language)


@pytest.mark.parametrize("text", MARKDOWN)
def test_text_makes_no_markup_link_or_mention(text):
    told = escape(text)
    assert not re.search(r"(?<!\\)[`*_\[\]|~!]|[<>@$]|(?<!&)#|://|www\.", told)
    assert unescape(re.sub(r"\\(.)", r"\1", told)) == text


def test_payloads_stay_text(fake_run):
    told = build_markdown(fake_run(users=400, clusters=4, payloads=[*PAYLOADS, *MARKDOWN]))
    assert not re.search(r"<[a-z/!]|(?<!\\)\]\(|(?<!\\)`", told, flags=re.IGNORECASE)


def test_a_picture_without_a_browser_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "find_browser", lambda: None)
    with pytest.raises(MissingExtraError, match="Chromium") as caught:
        picture.take_picture(tmp_path / "page.html", tmp_path / "out.png")
    assert "apt-get install chromium" in str(caught.value)


def test_a_browser_that_gives_nothing_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "find_browser", lambda: "/bin/true")
    with pytest.raises(UicError, match="no picture"):
        picture.take_picture(tmp_path / "page.html", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("no event times: parts were drawn at random per user (64/16/20)", "64/16/20"),
        ("ease: penalty 100 is at the edge of the values tried (100 to 1000)", "100 至 1000"),
        (
            "one cut in time leaves 22 warm test users, fewer than 200: the last 20 % of each user were tested instead",
            "只剩 22 位",
        ),
        ("5 of 6 names come from the language model m, the others from the terms", "6 个名称中有 5 个"),
        ("ranker and blend together served held-back validation users best", "由两者共同决定顺序"),
        ("ranker and single arm together served held-back validation users best", "最佳单一方法合用"),
        ("no blend: it did not help validation users it was not learned on; ease serves", "由EASE代替"),
        ("the ranker alone served held-back validation users best", "由它决定顺序"),
        ("no ranker: it did not help validation users whom it was not trained on", "未用排序模型"),
        ("no ranker: 12 validation users chose a candidate, 50 are needed", "至少需要 50 位"),
        ("features that were off under this split or with these data: time", "排序特征：time"),
        ("no ablation: the users form a single cluster or have no interest vectors", "没有消融对比"),
        ("nothing was tuned: default settings and weights, no ranker", "没有调参"),
    ],
)
def test_notes_are_told_in_the_language_of_the_page(note, told):
    assert told in tell_note(note, Words("zh"))
    assert not re.search("[\u4e00-\u9fff]", tell_note(note, Words("en")))
    assert tell_note("something new", Words("zh")) == "something new"
    assert tell_note("ablation: validation gave no weight to popularity within clusters, nor", Words("en")) is None
    assert tell_note("2 small clusters with 31 users are published as part of the nearest", Words("en")) is None


@pytest.fixture
def mlflow(monkeypatch):
    """A double of MLflow that keeps what it is given, within the limits of the real one."""
    logged = {"metrics": {}, "calls": []}

    class Started:
        info = types.SimpleNamespace(run_id="r1")

        def __enter__(self):
            logged["calls"].append("start_run")
            return self

        def __exit__(self, *_):
            pass

    def keep_files(folder):
        logged["files"] = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}

    def keep_metrics(metrics):
        assert len(metrics) <= 1000
        assert all(re.fullmatch(r"[\w\-. /]+", name) for name in metrics)
        assert not set(metrics) & set(logged["metrics"])
        logged["metrics"] |= metrics

    stub = types.SimpleNamespace(
        set_tracking_uri=lambda uri: logged.update(uri=uri),
        set_experiment=lambda name: logged.update(experiment=name),
        start_run=Started,
        log_params=lambda params: logged.update(params=params),
        log_metrics=keep_metrics,
        set_tags=lambda tags: logged.update(tags=tags),
        log_artifacts=keep_files,
    )
    monkeypatch.setitem(sys.modules, "mlflow", stub)
    return logged


@pytest.mark.parametrize("raw_ids", [False, True])
def test_mlflow_gets_settings_figures_and_published_files(fake_run, mlflow, raw_ids):
    import uicgpu as uic

    path = fake_run(raw_ids=raw_ids)
    assert uic.log_to_mlflow(path, "shop") == "r1"
    assert mlflow["experiment"] == "shop" and "uri" not in mlflow
    numbers = [value for value in uic.open_run(path).metrics.values() if isinstance(value, int | float)]
    assert sorted(mlflow["metrics"].values()) == sorted(numbers)
    assert mlflow["metrics"]["ranking.ease.ndcg_at_10"] == pytest.approx(0.1129)
    assert set(mlflow["files"]) == {"report.html", "profiles.json", "metrics.json", "clusters.csv"}
    users = set(uic.open_run(path).users["user_id"].to_list())
    assert not [name for name, text in mlflow["files"].items() if users & set(re.findall(r"\bu[0-9]{6}\b", text))]
    assert "events" not in mlflow["params"] and mlflow["params"]["k"] == "8"


def test_mlflow_is_told_where_and_gets_many_figures_in_parts(fake_run, mlflow):
    import uicgpu as uic

    run = uic.open_run(fake_run())
    run.metrics |= {f"cluster.{number}.size": number for number in range(2500)}
    run.manifest["settings"]["model"] = "/home/ann/models/mine"
    uic.log_to_mlflow(run, uri="http://localhost:5000")
    assert mlflow["uri"] == "http://localhost:5000"
    assert mlflow["metrics"]["cluster.2499.size"] == 2499.0
    assert mlflow["params"]["model"] == "mine"
    assert not [value for value in mlflow["params"].values() if "/home" in value]


def test_mlflow_is_one_option_of_the_report(fake_run, mlflow, tmp_path, capsys):
    from uicgpu.cli.main import call

    page = tmp_path / "summary.md"
    arguments = ["report", str(fake_run()), "--format", "md", "--out", str(page), "--mlflow", "http://localhost:5000"]
    assert call([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"MLflow run": "r1", "report": str(page)}
    assert mlflow["uri"] == "http://localhost:5000" and "report.html" in mlflow["files"]


def test_mlflow_gets_nothing_of_an_unfinished_run(fake_run, mlflow):
    import uicgpu as uic

    run = uic.open_run(fake_run())
    del run.manifest["stages"]["metrics"]
    with pytest.raises(UicError, match=r"metrics\.json"):
        uic.log_to_mlflow(run)
    assert mlflow["calls"] == []


def test_without_mlflow_the_package_is_named(fake_run, monkeypatch):
    from uicgpu.pipeline.formats import log_to_mlflow

    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"MLflow is not installed\ndo: pip install 'uicgpu\[mlflow\]'") as told:
        log_to_mlflow(fake_run())
    assert told.value.exit_code == 4

import json
import os
from pathlib import Path

import pytest

from halo_core.cli import call
from halo_report.pages.claims import LLAMA, PYTHIA, check_claims
from halo_report.read.counts_file import method_label, read_counts
from halo_statistics.significance import p_text
from halo_statistics.win_rate import WinRate

ROOT = Path(__file__).parents[4]
DATA = Path(os.environ.get("HALO_TEST_DATA", ROOT.parent / "shared" / "data")) / "judge"
DIGITS = 5e-5
"""The report's intervals are given to four digits."""

WINS = {
    "unaligned": (14, 31, 33, 41, 144, 149, 187),
    "sft": (77, 105, 124, 97, 184, 190, 214),
    "csft": (66, 91, 116, 98, 198, 204, 198),
    "ppo": (20, 38, 46, 42, 182, 198, 261),
    "dpo": (18, 44, 42, 47, 158, 213, 274),
    "slic": (35, 71, 71, 54, 171, 194, 197),
    "kto": (18, 36, 48, 41, 210, 240, 340),
    "sft+csft": (74, 103, 95, 112, 194, 192, 222),
    "sft+ppo": (67, 113, 125, 97, 212, 247, 259),
    "sft+dpo": (58, 94, 107, 116, 219, 255, 316),
    "sft+slic": (39, 70, 93, 94, 195, 205, 192),
    "sft+kto": (38, 95, 107, 93, 246, 265, 334),
}
"""The authors' own counts, of 512, by model from Pythia 1.4B to Llama 30B."""
KEPT = {
    "desirable": {0.01: 0.285, 0.05: 0.344, 0.1: 0.328, 0.25: 0.398, 0.5: 0.402, 1.0: 0.453},
    "undesirable": {0.01: 0.262, 0.05: 0.293, 0.1: 0.332, 0.25: 0.344, 0.5: 0.391, 1.0: 0.453},
}


@pytest.fixture(scope="module")
def authors():
    path = DATA / "halos_archangel_gpt4_results.csv"
    if not path.exists():
        pytest.skip(f"no {path}: set HALO_TEST_DATA to the folder of the test data")
    return path


@pytest.fixture(scope="module")
def reported(authors, tmp_path_factory):
    """The command's JSON object, and the folder it wrote into."""
    import contextlib
    import io

    folder, out = tmp_path_factory.mktemp("counts") / "made", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert call(["report", "--counts", str(authors), "--out", str(folder), "--json"]) == 0
    return json.loads(out.getvalue()), folder


@pytest.fixture
def report(capsys):
    def run(*arguments):
        code = call(["report", *map(str, arguments), "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_the_table_of_the_authors_counts_is_reproduced(reported):
    rows = {(row["method"], row["model"]): row for row in reported[0]["rows"]}
    assert len(rows) == len(reported[0]["rows"]) == 84
    for method, wins in WINS.items():
        assert tuple(rows[method, model]["wins"] for model in PYTHIA + LLAMA) == wins
    assert {row["n"] for row in rows.values()} == {512}


@pytest.mark.parametrize(
    ("method", "model", "rate", "low", "high"),
    [
        ("kto", "llama30b", 0.1641, 0.1281, 0.1986),
        ("sft+kto", "llama13b", 0.0176, -0.0197, 0.0547),
    ],
)
def test_the_report_s_intervals_are_reproduced(reported, method, model, rate, low, high):
    (row,) = [r for r in reported[0]["rows"] if (r["method"], r["model"]) == (method, model)]
    found = [row["rate"] - 0.5, row["low"] - 0.5, row["high"] - 0.5]
    assert found == pytest.approx([rate, low, high], abs=DIGITS)


def test_failures_are_counted_both_ways(reported):
    rows = reported[0]["rows"]
    everything = [*rows, *reported[0]["imbalance"], *reported[0]["others"]]
    everything.remove(next(r for r in everything if r.get("fraction") == 1.0))  # on both curves
    unparsed = sum(row["unparsed"] for row in everything)
    assert len(everything) == 102
    assert unparsed / sum(row["n"] for row in everything) == pytest.approx(0.048, abs=5e-4)
    shares = [row["unparsed"] / row["n"] for row in everything]
    assert (min(shares), max(shares)) == pytest.approx((0.012, 0.082), abs=5e-4)
    for row in rows:
        other = row["unparsed_left_out"]
        assert other["n"] == row["n"] - row["unparsed"]
        assert other["rate"] == pytest.approx(row["wins"] / other["n"])
    changed = [r for r in rows if _side(r) != _side(r["unparsed_left_out"])]
    assert len(changed) == 3


def _side(share):
    return (share["low"] > 0.5) - (share["high"] < 0.5)


def test_the_imbalance_curve_is_reproduced(reported):
    found = {(row["data"], row["fraction"]): row for row in reported[0]["imbalance"]}
    expected = {(side, f): rate for side, curve in KEPT.items() for f, rate in curve.items()}
    assert {key: row["rate"] for key, row in found.items()} == pytest.approx(expected, abs=5e-4)
    assert {row["n"] for row in found.values()} == {256}
    (against,) = found["desirable", 0.1]["against"]
    assert against["line"] == "DPO, Llama 7B"
    assert against["p"] == pytest.approx(0.621, abs=5e-4)
    (against,) = found["desirable", 1.0]["against"]
    assert against["p_holm"] == pytest.approx(11 * against["p"])  # it ends both curves


def test_rows_of_no_figure_are_listed_by_themselves(reported):
    others = reported[0]["others"]
    assert len(others) == 7
    assert {row["name"] for row in others} >= {"kto_mistral7b_oasst", "kto-unary_mistral7b_oasst"}


def test_kto_against_dpo_holds_at_7b_and_30b_and_not_at_13b(reported):
    claims = {claim["id"]: claim for claim in reported[0]["claims"]}
    seven, thirteen, thirty = claims["kto-beats-dpo"]["comparisons"]
    assert (round(seven["p"], 3), seven["holds"]) == (0.001, True)
    assert (round(thirteen["p"], 2), thirteen["holds"]) == (0.10, False)
    assert thirty["p"] < 0.001
    assert thirty["holds"]
    assert claims["kto-beats-dpo"]["verdict"] == "partly supported"


def test_verdicts_on_the_report_s_claims(reported):
    assert {c["id"]: (c["verdict"], c["verdict_holm"]) for c in reported[0]["claims"]} == {
        "kto-beats-dpo": ("partly supported", "partly supported"),
        "kto-as-good-as-dpo": ("partly supported", "supported"),
        "sft-kto-competitive": ("partly supported", "supported"),
        "kto-needs-no-sft": ("supported", "supported"),
        "only-kto-needs-no-sft": ("partly supported", "partly supported"),
        "dpo-no-better-than-ppo": ("supported", "supported"),
        "sft-dpo-best-at-30b": ("supported", "supported"),
        "no-gain-over-sft-when-small": ("partly supported", "supported"),
        "no-gain-for-pythia-12b": ("supported", "supported"),
        "ppo-dpo-gain-when-large": ("supported", "supported"),
        "only-ppo-dpo-gain": ("supported", "supported"),
        "sft-first": ("partly supported", "partly supported"),
        "drop-nine-tenths": ("not supported", "not supported"),
    }


def test_every_model_of_the_figures_is_in_a_claim_about_gains_over_sft(reported):
    about = ("no-gain-over-sft-when-small", "no-gain-for-pythia-12b", "ppo-dpo-gain-when-large")
    claims = [claim for claim in reported[0]["claims"] if claim["id"] in about]
    cells = [cell for c in claims for pair in c["comparisons"] for cell in pair["cells"]]
    assert {cell["series"] for cell in cells} == {*PYTHIA, *LLAMA}


def test_pythia_12b_does_not_gain_after_sft(reported):
    (claim,) = [c for c in reported[0]["claims"] if c["id"] == "no-gain-for-pythia-12b"]
    assert round(min(pair["p"] for pair in claim["comparisons"]), 2) == 0.17


def test_the_docs_say_how_many_comparisons_failed(reported):
    rows = reported[0]["rows"]
    shares = [row["unparsed"] / row["n"] for row in rows]
    said = (
        f"{100 * sum(shares) / len(rows):.1f} % of the comparisons of the {len(rows)} models, "
        f"and {100 * min(shares):.1f} to {100 * max(shares):.1f} % per model"
    )
    assert said == "4.9 % of the comparisons of the 84 models, and 1.8 to 8.2 % per model"
    for name in ("evidence/the-report.md", "explanation/statistics.md"):
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert said in " ".join(page.split())


def test_the_docs_say_what_came_out(reported):
    page = (ROOT / "docs" / "evidence" / "the-report.md").read_text(encoding="utf-8")
    for claim in reported[0]["claims"]:
        row = " | ".join(claim[key] for key in ("claim", "verdict", "verdict_holm", "summary"))
        assert f"| {row} |" in page
    for row in reported[0]["rows"]:
        if row["model"] in LLAMA:
            low, high = row["low"] - 0.5, row["high"] - 0.5
            assert f"| {row['rate'] - 0.5:+.4f} [{low:+.4f}, {high:+.4f}] |" in page
    for method, wins in WINS.items():
        assert f"| {method_label(method)} | {' | '.join(map(str, wins))} |" in page
    for row in reported[0]["imbalance"]:
        share = f"{row['rate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        assert f"| {share} | {p_text(row['against'][0]['p'])} |" in page


def test_tests_are_one_family_of_all_pairs_within_a_model(reported):
    tests = reported[0]["tests"]
    assert len(tests) == 7 * 12 * 11 // 2
    assert {test["test"] for test in tests} == {"fisher"}
    (pair,) = [t for t in tests if t["model"] == "llama7b" and {t["a"], t["b"]} == {"kto", "dpo"}]
    assert pair["p"] == pytest.approx(0.0009, abs=5e-5)
    assert pair["p_holm"] > 100 * pair["p"]


def test_files_are_one_page_and_figures_as_png_and_svg(reported):
    files, folder = reported[0]["files"], reported[1]
    assert sorted(path.name for path in folder.iterdir()) == sorted(Path(f).name for f in files)
    names = {"win-rates", "value-functions", "imbalance", "lengths"}
    assert {Path(f).name for f in files} == {
        "report.html",
        *(f"{name}.{kind}" for name in names for kind in ("png", "svg")),
    }


def test_page_has_counts_intervals_claims_and_tests(reported):
    page = (reported[1] / "report.html").read_text(encoding="utf-8")
    for text in (
        "+0.1641 [+0.1281, +0.1986]",
        "+0.0176 [-0.0197, +0.0547]",
        "Pairs at the same model: 168 of 462 differ at 0.05",
        "KTO against DPO, Llama 13B (+5.3 points, p 0.102)",
        "failures left out",
        "DPO, Llama 7B",
    ):
        assert text in page, text
    assert "<script" not in page


SMALL = """\
model,method,wins,n,unparsed
a,sft,10,40,2
a,kto,30,40,0
b,kto,20,40,0
"""


def test_counts_of_anyone_are_read(tmp_path, report):
    path = tmp_path / "mine.csv"
    path.write_text(SMALL)
    code, found = report("--counts", path, "--out", tmp_path / "out")
    assert code == 0
    assert [(r["model"], r["method"], r["losses"]) for r in found["rows"]] == [
        ("a", "sft", 28),
        ("a", "kto", 10),
        ("b", "kto", 20),
    ]
    assert [(t["a"], t["b"]) for t in found["tests"]] == [("sft", "kto")]
    assert found["claims"] == found["imbalance"] == found["others"] == []


def test_claims_need_all_their_cells(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("model,method,wins,n\nllama30b,sft+dpo,30,40\nllama30b,sft+ppo,10,40\n")
    (verdict,) = check_claims(read_counts(path))
    assert (verdict.claim.id, verdict.outcome()) == ("sft-dpo-best-at-30b", "supported")
    assert read_counts(path).matrix.cells["sft+dpo", "llama30b"].rate == WinRate(30, 10, 0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "got the columns a, b; expected model, method, wins, n"),
        ("", "got the columns none; expected"),
        ("model,method,wins,n\n", "has no rows; expected one per model and method"),
        (
            "model,method,wins,n\na,kto,5,x\n",
            ":2: n is 'x'; expected a whole number",
        ),
        (
            "model,method,wins,n,unparsed\na,kto,5,6,2\n",
            ":2: 5 wins, -1 losses and 2 unparsed are not 6 comparisons; expected counts that",
        ),
        ("model,method,wins,n\na,kto,0,0\n", ":2: 0 comparisons; expected at least 1"),
        (
            "model,method,wins,n\na,kto,1,2\na,kto,1,2\n",
            ":3: archangel_kto_a is in the file twice; keep one row",
        ),
    ],
)
def test_counts_that_cannot_be_used_are_told_with_their_line(tmp_path, capsys, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    assert call(["report", "--counts", str(path), "--out", str(tmp_path / "out")]) == 2
    assert f"{path}" in (told := capsys.readouterr().err)
    assert message in told
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_told(tmp_path, report):
    code, found = report("--counts", tmp_path / "gone.csv", "--out", tmp_path / "out")
    assert (code, found["error"]["message"]) == (2, "no such file")


def test_counts_need_a_folder_to_write_into(tmp_path, report):
    path = tmp_path / "mine.csv"
    path.write_text(SMALL)
    code, found = report("--counts", path)
    assert (code, found["error"]["message"]) == (2, "--counts needs --out DIR: where the page goes")
    (tmp_path / "file").write_text("")
    code, found = report("--counts", path, "--out", tmp_path / "file" / "under")
    assert code == 2
    assert "cannot be written to: Not a directory" in found["error"]["message"]


def test_runs_and_counts_together_are_told(report):
    assert report()[0] == report("run", "--counts", "file", "--out", "out")[0] == 2


def test_the_page_begins_with_the_model_that_wins_most(report, tmp_path):
    path = tmp_path / "wins.csv"
    path.write_text("model,method,wins,n\nllama7b,sft,100,400\nllama7b,kto,250,400\n")
    report("--counts", path, "--out", tmp_path / "made")
    page = (tmp_path / "made" / "report.html").read_text(encoding="utf-8")
    begin = page[page.index("<h1") : page.index("</h1>")]
    assert "Llama 7B/KTO has the highest win rate, 0.625 [" in begin
    assert "and beats Llama 7B/SFT." in begin

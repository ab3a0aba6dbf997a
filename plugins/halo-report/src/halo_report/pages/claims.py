"""The report's claims about its 77 models, and which of them the authors' counts support.

A claim is a list of comparisons, each with a statement of the claim. At `LEVEL`, two-sided:

* ``better``: the first has the higher win rate, and the difference is significant;
* ``not better``: the first is not significantly better. Counts can say no more about "no
  advantage"; this does not mean that both are equal;
* ``not worse``: the first is not significantly worse ("competitive", "as good as").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from halo_report.read.cell_matrix import Failures, JudgedCell
from halo_report.read.counts_file import WinCounts, method_label, model_label
from halo_report.read.pairwise import PairTest, pair_test, with_holm
from halo_statistics.significance import p_text

LEVEL = 0.05

Says = Literal["better", "not better", "not worse"]
ClaimedPair = tuple[str, str, str, Says]
"""The first method, the second method, the model, and the claim's statement about the first."""

PYTHIA = ("pythia1-4b", "pythia2-8b", "pythia6-9b", "pythia12-0b")
LLAMA = ("llama7b", "llama13b", "llama30b")
SMALL = (*PYTHIA[:3], "llama7b")
"""Models of at most 7B parameters."""
FIGURE_2 = ("csft", "slic", "ppo", "dpo")
"""Methods that the report's section 3 compares with SFT."""
DROPPED = 0.1
"""The fraction of data kept at which, according to the report, KTO still exceeds DPO."""


@dataclass(frozen=True)
class Claim:
    """A claim of the report.

    Attributes:
        id: Name of the claim in `--json`.
        text: The claim.
        source: Place of the claim in the report.
        pairs: The comparisons that follow from it.
    """

    id: str
    text: str
    source: str
    pairs: Sequence[ClaimedPair]


@dataclass(frozen=True)
class Finding:
    """A comparison of a claim and its result.

    Attributes:
        label: Description of the comparison for readers.
        says: The claim's statement about the first.
        test: The test, corrected within the claim.
    """

    label: str
    says: Says
    test: PairTest

    def holds(self, *, with_holm: bool = False) -> bool:
        """Returns whether the result agrees with the claim."""
        p = self.test.p_holm if with_holm else self.test.p
        if self.says == "better":
            return self.test.difference > 0 and p < LEVEL
        differs_badly = (
            self.test.difference > 0 if self.says == "not better" else self.test.difference < 0
        )
        return not (differs_badly and p < LEVEL)


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with its findings.

    Attributes:
        claim: The claim of the report.
        findings: The result of each of its comparisons.
    """

    claim: Claim
    findings: Sequence[Finding]

    def outcome(self, *, with_holm: bool = False) -> str:
        """Returns ``supported``, ``partly supported`` or ``not supported``."""
        holds = [finding.holds(with_holm=with_holm) for finding in self.findings]
        return "supported" if all(holds) else "partly supported" if any(holds) else "not supported"

    @property
    def summary(self) -> str:
        """Returns in how many comparisons the claim holds, and why it fails in the others."""
        failed = [finding for finding in self.findings if not finding.holds()]
        total = len(self.findings)
        share = f"holds in {total - len(failed)} of {total} comparisons"
        return f"{share}; not: {'; '.join(map(_reason, failed))}" if failed else share


def check_claims(counts: WinCounts) -> list[ClaimVerdict]:
    """Returns the verdicts on the claims whose comparisons are all in the counts.

    Args:
        counts: Counts with the authors' names of models and methods.
    """
    cells = counts.matrix.cells
    failures = counts.matrix.failures
    verdicts = [
        _verdict(claim, [_compared(cells, *pair) for pair in claim.pairs], failures)
        for claim in CLAIMS
        if all((x, model) in cells for a, b, model, _ in claim.pairs for x in (a, b))
    ]
    dropped = {point.side: point.cell for point in counts.points if point.fraction == DROPPED}
    dpo = cells.get(("dpo", "llama7b"))
    if dpo and {"desirable", "undesirable"} <= dropped.keys():
        compared: list[tuple[str, JudgedCell, JudgedCell, Says]] = [
            (f"KTO with 10 % of the {side} data against DPO, Llama 7B", cell, dpo, "better")
            for side, cell in sorted(dropped.items())
        ]
        verdicts.append(_verdict(IMBALANCE, compared, failures))
    return verdicts


def _compared(
    cells: Mapping[tuple[str, str], JudgedCell], a: str, b: str, model: str, says: Says
) -> tuple[str, JudgedCell, JudgedCell, Says]:
    label = f"{method_label(a)} against {method_label(b)}, {model_label(model)}"
    return label, cells[a, model], cells[b, model], says


def _verdict(
    claim: Claim, compared: Sequence[tuple[str, JudgedCell, JudgedCell, Says]], failures: Failures
) -> ClaimVerdict:
    tests = with_holm([pair_test(a, b, failures) for _, a, b, _ in compared])
    findings = [
        Finding(label, says, test)
        for (label, _, _, says), test in zip(compared, tests, strict=True)
    ]
    return ClaimVerdict(claim, findings)


def _reason(finding: Finding) -> str:
    points = f"{100 * finding.test.difference:+.1f} points, p {p_text(finding.test.p)}"
    return f"{finding.label} ({points})"


CLAIMS = (
    Claim(
        "kto-beats-dpo",
        "KTO alone is significantly better than DPO alone for Llama 7B, 13B and 30B",
        "section 5, result 2",
        [("kto", "dpo", model, "better") for model in LLAMA],
    ),
    Claim(
        "kto-as-good-as-dpo",
        "KTO is as good or better than DPO at all scales, both with and without SFT before",
        "Figure 5",
        [(f"{b}kto", f"{b}dpo", m, "not worse") for b in ("", "sft+") for m in PYTHIA + LLAMA],
    ),
    Claim(
        "sft-kto-competitive",
        "SFT+KTO is competitive with SFT+DPO at all scales",
        "section 5, result 1",
        [("sft+kto", "sft+dpo", model, "not worse") for model in PYTHIA + LLAMA],
    ),
    Claim(
        "kto-needs-no-sft",
        "KTO alone is competitive with SFT+KTO for Llama 13B and 30B",
        "section 5, result 2",
        [("kto", "sft+kto", model, "not worse") for model in LLAMA[1:]],
    ),
    Claim(
        "only-kto-needs-no-sft",
        "No other method is competitive with its SFT+ counterpart for Llama 13B and 30B",
        "section 5, result 2",
        [(f"sft+{x}", x, model, "better") for x in FIGURE_2 for model in LLAMA[1:]],
    ),
    Claim(
        "dpo-no-better-than-ppo",
        "DPO has no significant advantage over offline PPO below 30B",
        "section 3.4, finding 2",
        [
            (f"{before}dpo", f"{before}ppo", model, "not better")
            for before in ("", "sft+")
            for model in (*PYTHIA, *LLAMA[:2])
        ],
    ),
    Claim(
        "sft-dpo-best-at-30b",
        "At 30B, DPO after SFT is significantly better than offline PPO after SFT",
        "section 3.4, finding 2, and Figure 2",
        [("sft+dpo", "sft+ppo", "llama30b", "better")],
    ),
    Claim(
        "no-gain-over-sft-when-small",
        "At 7B and below, aligning has no advantage over SFT alone",
        "section 3.4, finding 1",
        [
            (f"{before}{x}", "sft", model, "not better")
            for before in ("", "sft+")
            for x in FIGURE_2
            for model in SMALL
        ],
    ),
    Claim(
        "no-gain-for-pythia-12b",
        "Only Llama 13B and 30B gain significantly from aligning after SFT, so Pythia 12B does not",
        "section 3.4, finding 1",
        [(f"sft+{x}", "sft", PYTHIA[3], "not better") for x in FIGURE_2],
    ),
    Claim(
        "ppo-dpo-gain-when-large",
        "Aligning after SFT improves Llama 13B and 30B significantly with offline PPO and with DPO",
        "section 3.4, finding 1",
        [(f"sft+{x}", "sft", model, "better") for x in ("ppo", "dpo") for model in LLAMA[1:]],
    ),
    Claim(
        "only-ppo-dpo-gain",
        "Aligning after SFT improves Llama 13B and 30B with neither CSFT nor SLiC",
        "section 3.4, finding 1",
        [(f"sft+{x}", "sft", m, "not better") for x in ("csft", "slic") for m in LLAMA[1:]],
    ),
    Claim(
        "sft-first",
        "Offline PPO and DPO are significantly better with SFT first",
        "section 3.4, finding 3",
        [(f"sft+{x}", x, m, "better") for x in ("ppo", "dpo") for m in PYTHIA + LLAMA],
    ),
)
IMBALANCE = Claim(
    "drop-nine-tenths",
    "With 90 % of the desirable or of the undesirable data dropped, KTO still exceeds DPO",
    "section 5, result 3, and Figure 6",
    [],
)

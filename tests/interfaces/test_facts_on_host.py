"""Facts in host memory give what the tensors of a batch give, and end with these tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from halo_core.loss import Facts, LossBatch, OnHost
from halo_core.testing import loss_batch

LENGTHS = [2, 1, 3, 1, 2, 2]
DESIRABLE = [True, False, False, True, False, False]
SAMPLED = [False, False, True, False, False, True]


def batches() -> tuple[LossBatch, LossBatch]:
    """Returns two pairs with a sample of the reference each: without and with facts."""
    values = torch.rand(sum(LENGTHS), generator=torch.Generator().manual_seed(1)).split(LENGTHS)
    tokens = [part.tolist() for part in values]
    plain = loss_batch(
        policy=tokens,
        reference=tokens,
        desirable=DESIRABLE,
        examples=[0, 0, 0, 1, 1, 1],
        sampled=SAMPLED,
    )
    facts = Facts(LENGTHS, DESIRABLE, SAMPLED)
    host = OnHost(facts, plain.sequence_index, plain.desirable, plain.sampled)
    return plain, replace(plain, on_host=host)


def tensors(batch: LossBatch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}


def check_same(one: LossBatch, other: LossBatch) -> None:
    assert (one.sampled is None) == (other.sampled is None)
    for name in ("policy_token_logps", "sequence_index", "example_index", "desirable", "sampled"):
        torch.testing.assert_close(tensors(one).get(name), tensors(other).get(name))
    assert one.longest == other.longest


def test_facts_give_what_the_tensors_give() -> None:
    plain, known = batches()
    for name in ("chosen", "rejected", "samples"):
        for one, other in zip(
            vars(getattr(plain, name)).values(), vars(getattr(known, name)).values(), strict=True
        ):
            torch.testing.assert_close(one, other)
    check_same(plain.only_desirable(), known.only_desirable())
    check_same(plain.without_samples(), known.without_samples())
    check_same(plain.without_samples().only_desirable(), known.without_samples().only_desirable())
    check_same(plain.only(plain.desirable), known.only(known.desirable))
    values = torch.arange(6.0)
    for part in (known, known.without_samples()):
        chosen, rejected = part.of_pairs(values[: len(part.desirable)])
        assert len(chosen) == len(rejected) == 2
    assert [part.tolist() for part in known.of_pairs(values)] == [[0.0, 3.0], [1.0, 4.0]]


def test_with_facts_no_mask_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    _, known = batches()

    def fail(self: Tensor) -> Tensor:
        raise AssertionError("read a mask")

    monkeypatch.setattr(torch.Tensor, "nonzero", fail)
    part = known.without_samples()
    assert part.longest == 2
    assert len(part.only_desirable().desirable) == len(part.chosen.lengths) == 2
    with pytest.raises(AssertionError, match="read a mask"):
        replace(known, on_host=None).chosen  # noqa: B018


@pytest.mark.parametrize("name", ["desirable", "sampled", "sequence_index"])
def test_facts_end_with_the_tensor_that_they_are_on(name: str) -> None:
    plain, known = batches()
    changed = {
        "desirable": torch.tensor([False, True, False, False, True, False]),
        "sampled": torch.tensor([False, False, True, False, True, False]),
        "sequence_index": torch.tensor([0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5]),
    }
    check_same(
        replace(plain, **{name: changed[name]}).only_desirable(),
        replace(known, **{name: changed[name]}).only_desirable(),
    )
    one, other = (replace(batch, **{name: changed[name]}) for batch in (plain, known))
    assert one.longest == other.longest
    torch.testing.assert_close(one.rejected.policy_logps, other.rejected.policy_logps)

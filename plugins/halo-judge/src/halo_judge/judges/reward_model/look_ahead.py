"""Checks the classifier's folder early, to find mistakes that would stop the scoring later."""

from __future__ import annotations

from typing import Literal

from halo_core.errors import UserError
from halo_core.stage import Inputs, ModelInput
from halo_judge.judges.reward_model.classifier import label_index
from halo_models.device import places
from halo_models.findings import Findings
from halo_models.load import context_length, is_causal, read_config, read_tokenizer
from halo_models.notes import check_template
from halo_models.skeleton import at_hand, check_weights, skeleton


def classifier_mistakes(
    model: ModelInput | None,
    inputs: Inputs,
    *,
    named: str,
    is_there: bool,
    label: str | None,
    max_length: int | None,
    device: Literal["auto", "cpu", "cuda"],
    processes: int,
) -> list[tuple[str, str]]:
    """Returns (option, message) for each mistake that prevents scoring.

    Args:
        model: The classifier, or the model that it will be trained from; None if there is none.
        inputs: The inputs of the stage.
        named: The option that names the model.
        is_there: Whether `model` is the classifier itself.
        label: The label whose score counts; None for the only one.
        max_length: Maximum number of tokens; None for the model's own limit.
        device: The device to compute on.
        processes: Number of processes that score.
    """
    found = Findings()
    if inputs.begins:
        with found.at("device"):
            places(device, 1)
        if not found.pairs:
            with found.at("processes"):
                places(device, processes)
    source = None if model is None else at_hand(model, fetch=inputs.begins)
    if source is None:
        return found.pairs
    network = None
    with found.at(named):
        config = read_config(source)
        if is_there and is_causal(config):
            raise UserError(
                f"{config.architectures[0]} is a language model and has no head that scores. "
                "Expected a sequence classifier, such as a train stage with loss: bradley-terry "
                "makes",
                location=source.path,
            )
        network = skeleton(config, classifier=True)
    with found.at(named):
        check_template(source, read_tokenizer(source).chat_template)
    if network is None:
        return found.pairs
    if is_there:
        if source == model:
            with found.at(named):
                check_weights(source, classifier=True)
        with found.at("label"):
            label_index(config, label, source.path)
    room = context_length(network)
    if max_length is not None and room is not None and max_length > room:
        what = f"{max_length} is more than the {room} tokens that the model can take"
        found.pairs.append(("max_length", f"{what}; set it to at most {room}"))
    return found.pairs

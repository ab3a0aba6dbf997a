"""Completions by vLLM's offline engine, in this process.

It follows vLLM's documentation of `LLM` and `SamplingParams`. It was never run against vLLM.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from halo_core.errors import UserError
from halo_core.sampling import Sampling
from halo_core.stage import ModelInput
from halo_trainer.sample.endpoint import generated_from, seed_of
from halo_trainer.sample.sampler import Generated, Named


class VllmSampler:
    """A model in vLLM, with everything that determines its completion of a prompt.

    Args:
        source: The model.
        dtype: Dtype of weights and computation: ``bfloat16`` or ``float32``.
        ends: Ids of the tokens that end a completion.
        choice: How the next token is chosen.
        max_new_tokens: Length at which a completion is cut off.
        max_length: Largest number of tokens of a prompt and its completion.
        seed: Seed of the run.
        samples: Number of completions of each prompt.
        stopped: Whether to stop. It is called before each batch.

    Attributes:
        unusable: Number of completions whose log-probabilities cannot be used, by reason.

    Raises:
        UserError: When vLLM is not installed.
    """

    def __init__(
        self,
        source: ModelInput,
        *,
        dtype: str,
        ends: Sequence[int],
        choice: Sampling,
        max_new_tokens: int,
        max_length: int,
        seed: int,
        samples: int,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        try:
            import vllm  # type: ignore[import-not-found, unused-ignore]
        except ModuleNotFoundError:
            raise UserError(
                "vLLM is not installed: pip install vllm, or leave engine out", location="engine"
            ) from None
        self.samples = samples
        self.max_new_tokens = max_new_tokens
        self.unusable: Counter[str] = Counter()
        self._ends = ends
        self._choice = choice
        self._seed = seed
        self._stopped = stopped
        self._params: Any = vllm.SamplingParams
        self._model: Any = vllm.LLM(
            model=source.path,
            revision=source.revision,
            dtype=dtype,
            max_model_len=max_length,
            seed=seed,
            trust_remote_code=False,
        )

    def batch(
        self, prompts: Sequence[Named], drew: Callable[[int], None] | None = None
    ) -> list[Generated] | None:
        """Returns the completions of each prompt, one prompt after another; None if stopped.

        Args:
            prompts: Prompt id and token ids of each.
            drew: Receives the number of tokens that were drawn.
        """
        if self._stopped():
            return None
        asked = [(name, ids, n) for name, ids in prompts for n in range(self.samples)]
        outputs = self._model.generate(
            [{"prompt_token_ids": list(ids)} for _, ids, _ in asked],
            [self._parameters(name, n) for name, _, n in asked],
            use_tqdm=False,
        )
        made = [self._generated(output.outputs[0]) for output in outputs]
        if drew is not None:
            drew(sum(len(each.token_ids or ()) for each in made))
        return made

    def positions(self, prompts: int) -> int:
        """Returns the largest number of tokens that are drawn for a batch of prompts."""
        return self.max_new_tokens * prompts * self.samples

    def _parameters(self, name: str, number: int) -> Any:
        return self._params(
            temperature=self._choice.temperature,
            top_p=self._choice.top_p,
            top_k=self._choice.top_k,
            max_tokens=self.max_new_tokens,
            seed=seed_of(self._seed, name, number),
            stop_token_ids=list(self._ends),
            logprobs=0,
            detokenize=False,
        )

    def _generated(self, output: Any) -> Generated:
        tokens = list(output.token_ids)
        logps = None
        if output.logprobs is not None:
            pairs = zip(tokens, output.logprobs, strict=False)
            logps = [found[token].logprob for token, found in pairs if token in found]
        made = generated_from(tokens, logps, output.finish_reason, self._ends)
        self.unusable.update([made.unusable] if made.unusable else [])
        return made

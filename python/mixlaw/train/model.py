"""The proxy model, a small GPT-NeoX with random weights, and its losses.

In a model this small the logits are most of the memory traffic. `domain_linear_cross_entropy` forms them for a few
tokens at a time, in a buffer that stays in the cache, and turns them into gradients on the spot.
"""

import threading
from typing import Any

import torch
from torch import Tensor

from mixlaw.errors import require
from mixlaw.kernels import DomainStats, domain_linear_cross_entropy
from mixlaw.train.settings import ProxySettings

# The target of tokens that are not predicted.
IGNORED = -100
_building = threading.Lock()


def build_model(settings: ProxySettings, vocab_size: int, seed: int) -> Any:
    """Build the model with weights that depend on `seed` alone; the global random state stays as it was.

    Returns
    -------
    transformers.GPTNeoXForCausalLM
        On the CPU, float32, without dropout.
    """
    transformers = require("transformers", "train")
    config = transformers.GPTNeoXConfig(
        vocab_size=vocab_size,
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.hidden,
        max_position_embeddings=settings.sequence_length,
        use_cache=False,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
    )
    # The generator of the CPU is one for all threads.
    with _building, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return transformers.GPTNeoXForCausalLM(config)


def count_parameters(model: Any) -> int:
    """All parameters of the model, embeddings and output matrix among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def mean_loss(model: Any, tokens: Tensor) -> Tensor:
    """Mean loss of predicting each token from those before it, nats per token, differentiable.

    Parameters
    ----------
    tokens
        int64, shape (B, T + 1).
    """
    hidden, weight, targets = _head(model, tokens)
    one = torch.zeros(len(targets), dtype=torch.uint8, device=targets.device)
    weights = torch.full((1,), 1.0 / targets.numel(), device=targets.device)
    loss = domain_linear_cross_entropy(hidden, weight, targets, one, 1, weights=weights).total
    assert loss is not None
    return loss


def measure_losses(model: Any, tokens: Tensor, mask: Tensor, domain: Tensor, num_domains: int) -> DomainStats:
    """Losses per domain of predicting each token from those before it; not differentiable.

    Parameters
    ----------
    tokens
        int64, shape (B, T + 1).
    mask
        True for the tokens that are predicted, shape (B, T).
    domain
        Domain of every sequence, shape (B,).
    """
    with torch.no_grad():
        hidden, weight, targets = _head(model, tokens)
        targets = targets.masked_fill(~mask, IGNORED)
        return domain_linear_cross_entropy(
            hidden, weight, targets, domain, num_domains, weights=None, ignore_index=IGNORED
        ).stats


def _head(model: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    hidden = model.base_model(input_ids=tokens[:, :-1]).last_hidden_state
    return hidden, model.get_output_embeddings().weight, tokens[:, 1:]

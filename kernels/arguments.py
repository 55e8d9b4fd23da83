"""Checks that the operators share: what may stand for tokens and their domains.

N tokens are (N,), or (B, T) for B sequences of T; a domain is one id a token or, for (B, T), one a sequence.
"""

from torch import Tensor, dtype, int32, int64, uint8

from mixlaw.errors import InputError

DOMAIN_DTYPES = (uint8, int32, int64)
TARGET_DTYPES = (int64, int32)
MAX_TOKENS = 2**31


def names(dtypes: tuple[dtype, ...]) -> str:
    """Word a list of dtypes."""
    return ", ".join(str(each).removeprefix("torch.") for each in dtypes)


def check_dtype(name: str, tensor: Tensor, dtypes: tuple[dtype, ...]) -> None:
    """Refuse a tensor of any other dtype."""
    if tensor.dtype not in dtypes:
        raise InputError(f"{name} must be of one of {names(dtypes)}, not {tensor.dtype}")


def check_tokens(name: str, shape: tuple[int, ...], domain: Tensor, num_domains: int) -> None:
    """Refuse tokens of a shape that is neither (N,) nor (B, T), or domains that do not go with them.

    Parameters
    ----------
    name
        What has one number a token, for the message.
    shape
        Its shape.
    """
    check_dtype("domain", domain, DOMAIN_DTYPES)
    if len(shape) not in (1, 2):
        raise InputError(f"{name} must have the shape (N,) or (B, T), not {tuple(shape)}")
    if domain.shape not in (shape, shape[:1]):
        raise InputError(
            f"domain must have the shape of {name}, {tuple(shape)}, or one id a sequence, "
            f"{tuple(shape[:1])}, not {tuple(domain.shape)}"
        )
    tokens = shape[0] if len(shape) == 1 else shape[0] * shape[1]
    if tokens >= MAX_TOKENS:
        raise InputError(f"{name} of {tokens} tokens: one call takes fewer than 2**31; split it and add the sums")
    if num_domains < 1:
        raise InputError(f"num_domains must be at least 1, not {num_domains}")


def check_devices(name: str, tensor: Tensor, others: dict[str, Tensor | None]) -> None:
    """Refuse tensors that are not on the device of the first."""
    for other, it in others.items():
        if it is not None and it.device != tensor.device:
            raise InputError(f"{name} is on {tensor.device}, {other} is on {it.device}: move one of them")


def tokens_per_id(tokens: int, domain: Tensor) -> int:
    """How many tokens in a row share one domain id: 1, or the length of a sequence."""
    return max(1, tokens // max(1, domain.numel()))

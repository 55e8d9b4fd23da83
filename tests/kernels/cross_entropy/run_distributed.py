"""One of two processes: ``python run_distributed.py RANK FOLDER``; writes what it found to FOLDER/RANK.pt."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

from mixlaw import InputError
from mixlaw.kernels import DomainLoss, DomainStats, domain_cross_entropy, domain_weights

WORLD = 2


def vocabulary_parallel(
    rank: int, given: dict, *, inplace: bool, weighted: bool, compiled: bool, options: dict
) -> dict:
    """The loss of this process's half of the vocabulary, and the gradient of that half."""

    def run(hidden: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        loss = domain_cross_entropy(
            hidden @ weight.T,
            given["target"],
            given["domain"],
            3,
            weights=given["weights"] if weighted else None,
            reference=given["reference"],
            vocab_bytes=given["vocab_bytes"],
            inplace=inplace,
            vocab_group=dist.group.WORLD,
            **options,
        )
        return loss.total if weighted else (loss.sums * given["weights"]).sum(), loss.sums, loss.stats.words

    weight = given["weight"].chunk(WORLD)[rank].clone().requires_grad_()
    function = torch.compile(run, backend="aot_eager", fullgraph=True) if compiled else run
    objective, sums, words = function(given["hidden"], weight)
    objective.backward()
    return {"objective": objective.detach(), "sums": sums.detach(), "words": words, "gradient": weight.grad}


def data_parallel(rank: int, given: dict) -> dict:
    """A step on half of the sequences, and the stats of all of them."""
    half = slice(rank * 3, rank * 3 + 3)
    model = torch.nn.Linear(6, 10, bias=False)
    model.weight.data.copy_(given["weight"])
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    target, domain = given["target"][half], given["domain"][half]
    weights = domain_weights(target, domain, 3, scheme="domain_mean", group=dist.group.WORLD)
    loss = domain_cross_entropy(parallel(given["hidden"][half]), target, domain, 3, weights=weights)
    loss.total.backward()
    stats = DomainStats.zeros(3)
    stats.accumulate(loss.stats)
    stats.all_reduce()
    return {"weights": weights, "gradient": model.weight.grad, "words": stats.words}


def outputs_of_a_module(given: dict, **options: bool) -> torch.Tensor:
    """Gradient of a data-parallel module that returns sums and total, of which only the total is used."""

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(given["weight"].clone())

        def forward(self, hidden: torch.Tensor) -> DomainLoss:
            logits = hidden @ self.weight.T
            return domain_cross_entropy(logits, given["target"], given["domain"], 3, weights=given["weights"])

    parallel = torch.nn.parallel.DistributedDataParallel(Head(), **options)
    for _ in range(2):
        parallel.zero_grad()
        parallel(given["hidden"]).total.backward()
    return parallel.module.weight.grad


def refused(rank: int, given: dict) -> dict:
    """What is an error: parts of the vocabulary of several sizes, and a DTensor."""
    messages = {}
    logits = torch.zeros(6, 4, 5 + rank)
    try:
        domain_cross_entropy(logits, given["target"].clamp(max=9), given["domain"], 3, vocab_group=dist.group.WORLD)
    except InputError as error:
        messages["unequal"] = str(error)

    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    sharded = distribute_tensor(torch.zeros(6, 4, 10), init_device_mesh("cpu", (WORLD,)), [Shard(2)])
    try:
        domain_cross_entropy(sharded, given["target"], given["domain"], 3)
    except InputError as error:
        messages["dtensor"] = str(error)
    return messages


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    given = torch.load(folder / "in.pt")
    everything = {"softcap": 5.0, "z_loss": 1e-2, "label_smoothing": 0.1}
    plain = {"inplace": False, "weighted": False, "compiled": False, "options": everything}
    found = {
        "sums": vocabulary_parallel(rank, given, **plain),
        "plain": vocabulary_parallel(rank, given, **(plain | {"options": {}})),
        "inplace": vocabulary_parallel(rank, given, **(plain | {"inplace": True})),
        "weighted": vocabulary_parallel(rank, given, **(plain | {"weighted": True})),
        "both": vocabulary_parallel(rank, given, **(plain | {"inplace": True, "weighted": True})),
        "compiled": vocabulary_parallel(rank, given, **(plain | {"compiled": True, "weighted": True})),
        "data": data_parallel(rank, given),
        "modules": [
            outputs_of_a_module(given),
            outputs_of_a_module(given, find_unused_parameters=True),
            outputs_of_a_module(given, static_graph=True),
        ],
        "refused": refused(rank, given),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


main(int(sys.argv[1]), Path(sys.argv[2]))

"""What the benches that run TRL need of it: its DPO trainer, taking rows in the order in which they are given."""

import itertools
from typing import Any


def plain_trainer() -> Any:
    """TRL's DPOTrainer, which neither shuffles its rows nor hashes what it maps over them.

    Nothing is kept from one run to the next, and some versions of its libraries cannot hash that.
    """
    from datasets.fingerprint import Hasher
    from torch.utils.data import SequentialSampler
    from trl import DPOTrainer

    numbers = itertools.count()
    Hasher.hash = staticmethod(lambda value: f"{next(numbers):016x}")
    DPOTrainer._get_train_sampler = lambda trainer, *given: SequentialSampler(trainer.train_dataset)
    return DPOTrainer

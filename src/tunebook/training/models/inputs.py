"""What an example looks like to a network: its shape, which columns are categories, how many token ids there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tunebook.data import TableEncoding
from tunebook.errors import DataError


@dataclass(frozen=True)
class Inputs:
    """The examples of a data set after preprocessing.

    shape        of one example, without the batch
    categories   of a table: (first column, number of columns) of each column of texts, one 0/1 column a category
    vocabulary   number of token ids that were seen, 0 .. vocabulary - 1; 0 for inputs that are measured
    """

    shape: tuple[int, ...]
    categories: tuple[tuple[int, int], ...] = ()
    vocabulary: int = 0

    @classmethod
    def of(cls, shape: Shape) -> Inputs:
        """A shape alone is one of plain numbers."""
        return shape if isinstance(shape, Inputs) else cls(tuple(shape))

    @classmethod
    def read(cls, shape: tuple[int, ...], encoding: TableEncoding | None, vocabulary: int) -> Inputs:
        """What the encoding of a table says of its columns."""
        runs, at = [], 0
        for column in encoding.columns if encoding else ():
            width = len(column.feature_names())
            if column.categories is not None:
                runs.append((at, width))
            at += width
        return cls(tuple(shape), tuple(runs), vocabulary)

    def example(self, count: int = 1) -> Tensor:
        """``count`` examples of zeros, of the type that the network takes."""
        return torch.zeros(count, *self.shape, dtype=torch.int64 if self.vocabulary else torch.float32)


Shape = tuple[int, ...] | Inputs


class Categories(nn.Module):
    """Categories as embeddings: (n, features) -> (n, numbers + runs * units).

    The columns that are numbers come first, as they are. A category is recognised by its 0/1 column: after
    standardisation the one that was 1 is the only one above 0. Where none is, the category was never seen in training,
    and its embedding is that of "another one". As Gorishniy et al. 2021 (arXiv:2106.11959), all columns have embeddings
    of one size.
    """

    first: Tensor
    numbers: Tensor

    def __init__(self, inputs: Inputs, units: int) -> None:
        super().__init__()
        self.runs = inputs.categories
        texts = {i for start, width in self.runs for i in range(start, start + width)}
        numbers = [i for i in range(math.prod(inputs.shape)) if i not in texts]
        sizes = [width + 1 for _, width in self.runs]
        self.width = len(numbers) + units * len(self.runs)
        self.table = nn.Embedding(sum(sizes), units)
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        first = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("first", first, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        codes = []
        for start, width in self.runs:
            largest, at = x[:, start : start + width].max(dim=1)
            codes.append(torch.where(largest > 0, at + 1, 0))
        looked_up = self.table(torch.stack(codes, dim=1) + self.first)
        return torch.cat([x.index_select(1, self.numbers), looked_up.flatten(1)], dim=1)


class Tokens(nn.Module):
    """Token ids (n, length) as vectors (n, length, units); ids that training never saw are the zero vector."""

    def __init__(self, inputs: Inputs, units: int) -> None:
        super().__init__()
        if len(inputs.shape) != 1:
            raise DataError(
                "token ids have one axis beside the examples",
                got=f"examples of shape {inputs.shape}",
                expected="(length,)",
                fix="give inputs of shape (n, length)",
            )
        self.vocabulary = inputs.vocabulary
        self.table = nn.Embedding(inputs.vocabulary + 1, units, padding_idx=inputs.vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.table(ids.long().clamp(0, self.vocabulary))
        return vectors


class Segments(nn.Module):
    """Examples as a sequence of steps: (n, *shape) -> (n, steps, size). What is left over is filled up with zeros.

    A sequence, (length,) or (channels, length), is cut into segments of ``patch`` positions; a step holds all channels
    of its segment. An image is read row by row, ``patch`` rows a step, or, with ``square``, in patches of ``patch`` by
    ``patch`` pixels from left to right and top to bottom. A patch is never larger than what it is cut from.
    """

    def __init__(self, shape: tuple[int, ...], patch: int, *, square: bool = False) -> None:
        super().__init__()
        if not 1 <= len(shape) <= 3:
            raise DataError(
                "a network of steps needs sequences or images",
                got=f"examples of shape {shape}",
                expected="(length,), (channels, length) or (channels, height, width)",
                fix="use an MLP for a table",
            )
        maps = (1, 1, *shape) if len(shape) == 1 else (shape[0], 1, shape[1]) if len(shape) == 2 else shape
        channels, high, wide = maps if square or len(shape) < 3 else (maps[0] * maps[2], 1, maps[1])
        self.rows = len(shape) == 3 and not square
        self.maps, self.patch = (channels, high, wide), (min(patch, high), min(patch, wide))
        across = [math.ceil(side / p) for side, p in zip((high, wide), self.patch, strict=True)]
        self.across = (across[0], across[1])
        self.steps, self.size = math.prod(across), channels * math.prod(self.patch)

    def forward(self, x: Tensor) -> Tensor:
        maps = x.transpose(2, 3).flatten(1, 2) if self.rows else x  # channels and columns together, over rows
        maps = maps.reshape(len(x), *self.maps)
        (channels, high, wide), (p, q), (down, along) = self.maps, self.patch, self.across
        if (down * p, along * q) != (high, wide):
            maps = nn.functional.pad(maps, (0, along * q - wide, 0, down * p - high))
        parts = maps.reshape(len(x), channels, down, p, along, q)
        return parts.permute(0, 2, 4, 1, 3, 5).reshape(len(x), self.steps, self.size)

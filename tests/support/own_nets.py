"""Nets as strangers bring them, each of one kind; and the suite file that sweeps them."""

import collections
import dataclasses
import random
import sys

import torch
import torch.utils.checkpoint
from torch import nn
from torch.nn import functional

IMAGE = (3, 16, 16)


class Body(nn.Module):
    """A small net of images, by which the others are what they are."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


class ReadsAValue(Body):
    def forward(self, x):
        return super().forward(x if x.sum().item() > 0 else -x)


class GoesThroughNumPy(Body):
    def forward(self, x):
        scale = float(x.detach().cpu().to(torch.float64).numpy().std())
        return super().forward(x / scale)


class LoopsByValue(Body):
    def forward(self, x):
        steps = 1 + int(x.abs().max() > 0)
        for _ in range(steps):
            x = torch.tanh(x)
        return super().forward(x)


class KeepsAPlainTensor(Body):
    def __init__(self):
        super().__init__()
        self.mean = [torch.full((1, 3, 1, 1), 0.5)]

    def forward(self, x):
        return super().forward(x - self.mean[0].to(x.dtype))


class KeepsAHiddenBuffer(Body):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.full((3, 1, 1), 2.0), persistent=False)

    def forward(self, x):
        return super().forward(x * self.scale)


def sets_threads_when_built():
    torch.set_num_threads(1)
    return Body()


def sets_dtype_when_built():
    net = Body()
    torch.set_default_dtype(torch.float64)
    return net


class SetsThreadsWhenRun(Body):
    def forward(self, x):
        torch.set_num_threads(1)
        return super().forward(x)


class HidesItsThreads(Body):
    def forward(self, x):
        before = torch.get_num_threads()
        torch.set_num_threads(before + 1)
        y = super().forward(x)
        torch.set_num_threads(before)
        return y


class LowersItsPrecision(Body):
    def forward(self, x):
        torch.set_float32_matmul_precision("medium")
        return super().forward(x)


class IsTraced(Body):
    def forward(self, x):
        sys.setprofile(lambda *_: None)
        return super().forward(x)


class NeedsFp32(Body):
    def forward(self, x):
        return super().forward(x.float())


class HasFp32Inside(Body):
    def forward(self, x):
        y = super().forward(x)
        return y @ torch.eye(10)


class Noisy(Body):
    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class DropsByItself(Body):
    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5, self.training))


class DrawsFromPython(Body):
    def forward(self, x):
        return super().forward(x * random.random())


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.block(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


class SortsNearTies(Body):
    def forward(self, x):
        scores = super().forward(x) * 1e-9 + 1
        return scores.gather(1, scores.argsort(1)) + scores.argsort(1) * x.mean()


class KeepsTheLargest(Body):
    def forward(self, x):
        scores = super().forward(x).flatten()
        return scores[scores > scores.mean() + 1e-7 * torch.sign(scores[0])]


class ReturnsIndices(Body):
    def forward(self, x):
        return super().forward(x).argmax(1)


def scripted():
    return torch.jit.script(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(784, 10))
    )


def quantised():
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.ReLU(), nn.Linear(32, 10))
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)


class TakesGradients(Body):
    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            energy = super().forward(x).square().sum()
            (force,) = torch.autograd.grad(energy, x, create_graph=self.training)
        return energy, force


class Checkpointed(Body):
    def forward(self, x):
        features = torch.utils.checkpoint.checkpoint(lambda x: torch.relu(self.conv(x)), x, use_reentrant=False)
        return self.head(features.mean((2, 3)))


class InFrequencies(Body):
    def forward(self, x):
        spectrum = torch.fft.rfft2(x)
        return super().forward(torch.fft.irfft2(spectrum)), spectrum


class HasNoWeights(nn.Module):
    def forward(self, x):
        return x.flatten(1).softmax(1)


class SparseGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(5, 10)

    def forward(self, nodes, edges):
        return self.mix(torch.sparse.mm(edges, nodes))


def sparse_graph(batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch_size, 5, generator=generator), torch.eye(batch_size).to_sparse()


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.rows, self.head = nn.LSTM(8, 6, dropout=0.3, num_layers=2), nn.Linear(6, 10)

    def forward(self, x):
        return self.head(self.rows(x)[0])


class EditsItsInput(Body):
    def forward(self, x):
        return super().forward(x.mul_(0.5))


class WearsOut(Body):
    def forward(self, x):
        with torch.no_grad():
            self.head.weight.mul_(0.99)
        return super().forward(x)


class CountsItsCalls(Body):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class OnlyFours(Body):
    def forward(self, x):
        return super().forward(x.view(4, *IMAGE))


class MixesItsBatch(Body):
    def forward(self, x):
        weights = torch.arange(1, len(x) + 1, dtype=x.dtype, device=x.device)
        return super().forward(x) + (weights[:, None, None, None] * x).sum()


class AttendsToItsBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.scale = nn.Linear(768, 10), nn.Parameter(torch.ones(6, 6))

    def forward(self, x):
        flat = x.flatten(1)
        return self.mix((flat @ flat.T).softmax(1) @ flat) + (self.scale @ self.scale).mean()


class TwoAndThree(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.deep, self.head = nn.Conv2d(3, 4, 3), nn.Conv3d(4, 4, (1, 3, 3)), nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.deep(self.flat(x).unsqueeze(2)).mean((2, 3, 4)))


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.deep, self.head = nn.Conv3d(3, 4, 3), nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.deep(x).mean((2, 3, 4)))


Named = collections.namedtuple("Named", "logits hidden")


@dataclasses.dataclass
class Result:
    maps: torch.Tensor
    labels: torch.Tensor
    rest: list


class ReturnsADict(Body):
    def forward(self, x):
        return {"logits": super().forward(x), "size": 16}


class ReturnsANest(Body):
    def forward(self, x):
        maps = torch.relu(self.conv(x))
        y = self.head(maps.mean((2, 3)))
        return Result(maps, y.argmax(1), [None, Named(y, (maps.mean(),))])


class ReturnsItsLoss(Body):
    def forward(self, x):
        return super().forward(x).square().mean()


class TwoInputs(Body):
    def forward(self, x, t):
        return super().forward(x) + t[:, None]


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(100, 8), nn.Linear(8, 10)

    def forward(self, ids, mask):
        words = self.table(ids) * mask.unsqueeze(-1)
        return self.head(words.mean(1))


class TakesAGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(5, 10)

    def forward(self, nodes, edges):
        return self.mix(edges @ nodes)


def graph(batch_size, seed):
    generator = torch.Generator().manual_seed(seed)
    nodes = torch.randn(batch_size, 6, 5, generator=generator)
    return {"nodes": nodes, "edges": torch.ones(batch_size, 6, 6) / 6}


def spread(outputs, inputs):
    return outputs.var() + inputs["nodes"].mean()


class GroupedTransposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.head = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4, bias=False), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.up(x).mean((2, 3)))


class Uncompiled(Body):
    @torch.compiler.disable
    def forward(self, x):
        return super().forward(x)


class HalfCompiled(Body):
    def forward(self, x):
        y = torch.relu(self.conv(x))
        torch._dynamo.graph_break()
        return self.head(y.mean((2, 3)))


HERE = "tests.support.own_nets"
BUDGET = """
[measure]
precision = 0.5
min_samples = 3
min_seconds = 0.0
max_seconds = 0.01
warmup_seconds = 0.01
"""


def suite(names, inputs=None, **axes):
    """A suite file of these nets; `inputs`: name -> lines of its table, else images."""
    lines = [BUDGET, "[[sweep]]", f"architecture = {[f'{HERE}:{name}' for name in names]}"]
    lines += [f"{axis} = {value!r}" for axis, value in axes.items()]
    for name in names:
        table = (inputs or {}).get(name, f"input_shape = {list(IMAGE)}")
        lines += [f'[architectures."{HERE}:{name}"]', table]
    return "\n".join(lines) + "\n"

"""A library that adds up tensors of simulated devices over processes: copies to the host, and gloo there."""

from torch import distributed
from torch._C._distributed_c10d import _create_work_from_future
from torch.futures import Future


class HostCopies(distributed.ProcessGroup):
    """What training side by side asks of one; tensors of the CPU go by gloo as they are."""

    def __init__(self, store, rank, size, timeout):
        super().__init__(rank, size)
        self._gloo = distributed.ProcessGroupGloo(store, rank, size, timeout)

    def allreduce(self, tensors, options):
        return self._by_host(tensors, lambda host: self._gloo.allreduce(host, options))

    def broadcast(self, tensors, options):
        return self._by_host(tensors, lambda host: self._gloo.broadcast(host, options))

    def allgather(self, outputs, inputs, options):
        (into,), sources = outputs, [tensor.cpu() for tensor in inputs]
        return self._by_host(into, lambda host: self._gloo.allgather([host], sources, options))

    def barrier(self, opts):
        return self._gloo.barrier(opts)

    def _by_host(self, tensors, work):
        host = [tensor.cpu() for tensor in tensors]
        work(host).wait()
        for tensor, result in zip(tensors, host, strict=True):
            tensor.copy_(result)
        done = Future()
        done.set_result(tensors)
        return _create_work_from_future(done)

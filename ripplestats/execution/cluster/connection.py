"""``--cluster``: what it may be, whether anything answers there, and a connection for the time of the work.

An address is tried before Ray sees it: Ray waits minutes for a machine that does not answer, and fails without saying
which of its two ports (of the cluster itself, and of Ray Client) it was given.
"""

import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from ripplestats.errors import ClusterError, InputError, first_line

ALLOWED = "allowed: ray (on this machine, or where RAY_ADDRESS says), ray://HOST:PORT, ray://auto"
#: A cluster made for this run alone, on this machine.
LOCAL = "local"
_AUTO = "auto"
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}")
#: Seconds within which a machine must answer.
_PATIENCE = 30.0
#: How often a connection is tried that the cluster aborts: its process for a new client may start slower than it waits for.
_TRIES = 3
#: A call that only a cluster's own port knows; with it the two kinds of port are told apart.
_ONLY_OF_CLUSTER = "/ray.rpc.NodeInfoGcsService/CheckAlive"
#: Ray reads these when it is first imported: it reports nothing to its makers, and workers without a GPU see none.
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def cluster_address(cluster: str) -> str:
    """Read ``--cluster``: return ``local``, ``auto`` or ``HOST:PORT``.

    Raises:
        InputError: it is something else.
    """
    scheme, mark, address = cluster.partition("://")
    if cluster == "ray":
        address = os.environ.get("RAY_ADDRESS", LOCAL).removeprefix("ray://") or LOCAL
    elif scheme != "ray" or not mark:
        raise InputError(f"--cluster {cluster!r} is not known; {ALLOWED}")
    if address not in (LOCAL, _AUTO) and not _HOST_AND_PORT.fullmatch(address):
        raise InputError(f"--cluster {cluster}: {address!r} is not HOST:PORT; {ALLOWED}")
    return address


def check_cluster(cluster: str) -> None:
    """Refuse, before anything is loaded, a cluster that cannot be used.

    Raises:
        InputError: it is not known, or Ray is not installed.
        ClusterError: nothing answers at its address, or it wants a token.
    """
    address = cluster_address(cluster)
    missing = [name for name in ("ray", "grpc") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--cluster {cluster} needs Ray: pip install 'ripplestats[ray]' (here and on all its machines)"
        )
    if address not in (LOCAL, _AUTO):
        _port_kind(address)


@contextmanager
def connected(cluster: str, say: Callable[[str], None] = lambda _: None) -> Iterator[Any]:
    """Give the module ``ray``, connected; a connection that the program has already is used and left as it is.

    Raises:
        InputError: the cluster is not known, or Ray is not installed.
        ClusterError: it cannot be reached or does not let us in.
    """
    check_cluster(cluster)
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ray
        return
    address = cluster_address(cluster)
    say("starting Ray on this machine" if address == LOCAL else f"connecting to the cluster at {address}")
    _connect(ray, cluster, address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, cluster: str, address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options["include_dashboard"] = False
    elif address != _AUTO and _port_kind(address) == "client":
        address = f"ray://{address}"
    for left in reversed(range(_TRIES)):
        try:
            with warnings.catch_warnings():
                # What Ray warns of here, the error says that follows.
                warnings.simplefilter("ignore", UserWarning)
                ray.init(address, **options)
            return
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            if not (left and isinstance(error, ConnectionAbortedError)):
                raise ClusterError(f"--cluster {cluster}: {first_line(error)}") from error


def _port_kind(address: str) -> Literal["cluster", "client"]:
    """Ask an address which port of Ray it is.

    Raises:
        ClusterError: nothing answers there, or it wants a token that Ray is not told to send.
    """
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(_ONLY_OF_CLUSTER)(b"", timeout=_PATIENCE, wait_for_ready=False)
        except grpc.RpcError as error:
            code = error.code()
        else:
            return "cluster"
    if code == grpc.StatusCode.UNIMPLEMENTED:
        return "client"
    if code != grpc.StatusCode.UNAUTHENTICATED:
        raise ClusterError(f"--cluster ray://{address}: no Ray answers there; is it running, and is the port right?")
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise ClusterError(
            f"--cluster ray://{address}: it asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN where "
            "~/.ray/auth_token is not that of the cluster"
        )
    return "cluster"

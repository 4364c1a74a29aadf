"""Postfix's test client, the speed of C, which stores nothing: `… smtp_source HOST:PORT MESSAGES`.

It keeps its connections and sends the gateway's mail with its headers, the same one to all. Prints
its messages a second and µs of CPU a message as JSON.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Mapping

from benchmarks.load import SMTP_CONNECTIONS
from benchmarks.processes import find, program
from benchmarks.yardsticks import rival
from benchmarks.yardsticks.smtp_client import mail

PROGRAM = "smtp-source"

#: It sends so many times the messages: a second of its work, where the gateway needs five, would
#: measure how fast a process starts.
_TIMES = 10


async def main(address: str, count: int) -> Mapping[str, float]:
    count *= _TIMES
    with tempfile.NamedTemporaryFile() as file:
        file.write(mail(0).as_bytes())
        file.flush()
        words = [find(PROGRAM) or PROGRAM, "-d", "-s", str(SMTP_CONNECTIONS), "-m", str(count)]
        words += ["-f", "bench@example.com", "-t", "user@example.org", "-F", file.name, address]
        started = time.perf_counter()
        async with program(*words, quiet=False) as child:
            if await child.wait():
                raise RuntimeError(f"{PROGRAM} failed")
        took = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"rate": count / took, "cpu_us": (used.ru_utime + used.ru_stime) / count * 1e6}


if __name__ == "__main__":
    rival.run(main(sys.argv[1], int(sys.argv[2])))

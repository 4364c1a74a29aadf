"""How many requests a simulator takes: `… http_raw URL MESSAGES`.

The gateway's bodies as prepared bytes, over as many connections as it has, one at a time on each.
Prints requests a second and µs of CPU a request as JSON; the simulator may take more.
"""

import sys
import time

import orjson
import uvloop

from benchmarks import raw
from benchmarks.load import CONNECTIONS, TEXT, phone


async def main(url: str, count: int) -> None:
    headers = {"Content-Type": "application/json"}
    requests = [
        raw.request("POST", f"{url}/v1/send", headers, orjson.dumps(_body(number)))
        for number in range(count)
    ]
    started, cpu = time.perf_counter(), time.process_time()
    await raw.send(url, iter(requests), CONNECTIONS)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(orjson.dumps({"rate": count / took, "cpu_us": cpu / count * 1e6}).decode(), flush=True)


def _body(number: int) -> dict[str, str]:
    return {"to": phone(number), "text": TEXT, "ref": "x" * 36}


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))

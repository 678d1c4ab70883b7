"""The floor of reads: the smallest answer of a Serve application, to compare with ours. `python benchmarks/hello.py`.

Run by `benchmarks.reads` in the environment of a running cluster; returns once it answers.
"""

import ray
from ray import serve
from starlette.responses import PlainTextResponse


@serve.deployment(num_replicas=2, max_ongoing_requests=2500, ray_actor_options={"num_cpus": 0})
class Hello:
    async def __call__(self) -> PlainTextResponse:
        return PlainTextResponse("hello")


if __name__ == "__main__":
    ray.init(namespace="landlord-hello", log_to_driver=False)
    serve.run(Hello.bind(), name="hello", route_prefix="/hello", blocking=False)

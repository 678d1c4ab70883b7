"""A load balancer before the machines, as clients see it: who does not answer, or is not ready, is not asked next."""

import ssl
from collections.abc import Sequence

import httpx

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 30.0


class Balancer(httpx.AsyncBaseTransport):
    """Asks one machine, and the next one after it once that one has not answered, or has answered 503: it has no
    database, say. What has failed is the client's to ask again. `addresses`: of the machines; one that is taken out is
    asked nothing more. `asked`: the number of the one that is asked."""

    def __init__(self, addresses: Sequence[str], verify: ssl.SSLContext) -> None:
        self.addresses = list(addresses)
        self.asked = 0
        self._transport = httpx.AsyncHTTPTransport(verify=verify)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = self.asked
        request.url = request.url.copy_with(host=self.addresses[asked % len(self.addresses)])
        request.headers["Host"] = request.url.netloc.decode()
        try:
            answer = await self._transport.handle_async_request(request)
        except httpx.TransportError:
            self._leave(asked)
            raise
        if answer.status_code == 503:
            self._leave(asked)
        return answer

    def _leave(self, asked: int) -> None:
        if asked == self.asked:  # not changed by another request meanwhile
            self.asked += 1

    async def aclose(self) -> None:
        await self._transport.aclose()

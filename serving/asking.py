"""How the commands ask: the API that runs, or else the store itself, with the same answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx2

from serving.answers import Answers
from serving.models import AdClicks, Answer, Problem, TopAds
from serving.settings import PORT, PREFIX, ServingError, Settings, secret
from serving.store import Store

API = f"http://127.0.0.1:{PORT}"
TIMEOUT = 15.0
Given = TypeVar("Given", bound=Answer)


class Questions:
    """Asks the API at `api`; the store of the settings where none answers. Raises ServingError and StoreError."""

    def __init__(self, settings: Settings, api: str) -> None:
        self._settings = settings
        self._api = api.rstrip("/")

    def clicks(self, ad_id: str, minutes: int, width: int) -> AdClicks:
        """Return an ad's clicks in the last minutes."""
        path, parameters = f"/ads/{quote(ad_id, safe='')}/clicks", {"minutes": minutes, "width": width}
        found = self._get(path, parameters, AdClicks)
        if found:
            return found
        with self._store() as store:
            answers = Answers(store)
            return answers.clicks(ad_id, answers.last(minutes), width)

    def top(self, n: int, minutes: int) -> TopAds:
        """Return the n top ads of the last minutes."""
        found = self._get("/top", {"n": n, "minutes": minutes}, TopAds)
        if found:
            return found
        with self._store() as store:
            answers = Answers(store)
            return answers.top(n, answers.last(minutes))

    def _get(self, path: str, parameters: Mapping[str, int], kind: type[Given]) -> Given | None:
        """Ask the API; None where nothing listens."""
        token = secret(self._settings.token, self._settings.token_file, "the API's token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            response = httpx2.get(self._api + path, params=dict(parameters), headers=headers, timeout=TIMEOUT)
            if response.is_success:
                return kind.model_validate_json(response.content)
            detail = Problem.model_validate_json(response.content).detail
        except httpx2.ConnectError:
            return None
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise ServingError(f"What answers at {self._api} is not Clickproof's API: {error!r}.") from None
        raise ServingError(f"The API at {self._api} refused: {detail}")

    def _store(self) -> Store:
        if not self._settings.on_server and not Path(self._settings.store).is_dir():
            raise ServingError(
                f"No API answers at {self._api}, and no store is in {self._settings.store}: start clickproof serve, "
                f"or name its address in {PREFIX}API."
            )
        return Store(self._settings)

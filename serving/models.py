"""What the API answers. Times are epoch milliseconds, spans are `[from, to)`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["provisional", "closed", "reconciled"]
"""How far a count can be relied on, the weakest first; an answer over several windows has its weakest window's."""
VERDICTS: tuple[Verdict, ...] = ("provisional", "closed", "reconciled")


class Answer(BaseModel):
    """What every answer carries beside the counts."""

    model_config = ConfigDict(populate_by_name=True)

    start: int | None = Field(alias="from", description="Null while the store has no counts.")
    end: int | None = Field(alias="to")
    verdict: Verdict = Field(description="The weakest of the windows' verdicts.")
    late: int = Field(description="Late clicks known so far, which may not all be unique.")
    unexplained: int = Field(description="Differences that reconciliations could not explain: 0, or a fault.")
    idle_partitions: list[int] | None = Field(description="Of the clicks, at this moment; null when unknown.")


class WindowClicks(BaseModel):
    """An ad's clicks in a window, which several minutes may make up."""

    start: int
    end: int
    clicks: int
    late: int
    verdict: Verdict


class AdClicks(Answer):
    """An ad's clicks: in all, and window by window."""

    ad_id: str
    clicks: int
    windows: list[WindowClicks]


class RankedAd(BaseModel):
    """A place in the list of top ads."""

    rank: int
    ad_id: str
    clicks: int


class TopAds(Answer):
    """The ads with the most clicks; of equal ones the first by `ad_id`."""

    ads: list[RankedAd]
    late_could_change_cut: bool = Field(
        description="Whether the late clicks that no reconciliation has judged could bring another ad into the list."
    )


class Reconciliation(BaseModel):
    """What a reconciliation found in its span of windows."""

    model_config = ConfigDict(populate_by_name=True)

    start: int = Field(alias="from")
    end: int = Field(alias="to")
    version: int
    verdict: str
    windows: int
    corrections: int
    late: int
    expired_duplicate: int
    unexplained: int
    published: int = Field(description="When it was published.")


class Terms(BaseModel):
    """The ledger's terms: raw = counted + duplicate + late + invalid."""

    raw: int = 0
    counted: int = 0
    duplicate: int = 0
    late: int = 0
    invalid: int = 0


class Window(BaseModel):
    """A window: its clicks, its ledger and its verdict."""

    start: int
    end: int
    clicks: int
    ads: int = Field(description="Ads with at least one click.")
    ledger: Terms
    balanced: bool
    verdict: Verdict
    reconciliation: Reconciliation | None


class WindowAnswer(Answer):
    """A window by itself, with the reasons of its invalid clicks."""

    window: Window
    invalid_reasons: dict[str, int]


class Windows(Answer):
    """The windows of a span, the newest last."""

    windows: list[Window]
    published_until: int | None = Field(description="The end of the newest ranked window: the watermark is past it.")


class Reconciliations(BaseModel):
    """The newest reconciliations, the newest first."""

    reconciliations: list[Reconciliation]


class Health(BaseModel):
    """Whether answers can be given, and how the loader fares."""

    status: Literal["ok", "failing"]
    trouble: str | None = Field(description="What keeps the loader from loading.")
    lag: dict[str, int] = Field(description="Committed records that are not loaded yet, by topic.")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str

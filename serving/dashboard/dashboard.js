// The page: asks the API every few seconds and shows the answers. Whatever comes from data is set as text, never as markup.

const EVERY_MS = 3000;
const TERMS = ["raw", "counted", "duplicate", "late", "invalid"];
const SHOWN_WINDOWS = 120;
const MINUTES_BETWEEN_TICKS = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440];
const TONE = { provisional: "warn", closed: "", reconciled: "good" };
const at = (id) => document.getElementById(id);
const charts = new Map(); // by the id of their element

class ApiError extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let answer;
  try {
    answer = await fetch(path, { headers, signal: AbortSignal.timeout(15000) });
  } catch {
    throw new ApiError("The API does not answer: is clickproof serve running?");
  }
  const body = await answer.json();
  if (answer.status === 401) at("login").hidden = false;
  if (!answer.ok && path !== "healthz") throw new ApiError(body.detail ?? answer.statusText);
  return body;
}

const count = (number) => number.toLocaleString("en");
const time = (ms) => new Date(ms).toISOString().slice(11, 16);
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(2)} %` : "–");

function duration(ms) {
  const seconds = Math.max(Math.round(ms / 1000), 0);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

function say(id, text, tone = "") {
  at(id).textContent = text;
  at(id).className = tone;
}

function cell(text, kind = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = kind;
  return made;
}

function fill(id, rows) {
  at(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.replaceChildren(...cells);
    return row;
  }));
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function draw(id, columns, series) {
  const place = at(id);
  const known = charts.get(id);
  if (known) return known.setData(columns);
  const axis = { stroke: colour("soft"), grid: { stroke: colour("line") }, ticks: { stroke: colour("line") } };
  const lines = series.map(([label, shade, unit]) => ({
    label, stroke: colour(shade), width: 2, value: (_, value) => (value == null ? "–" : `${count(value)}${unit}`),
  }));
  const options = {
    width: place.clientWidth, height: 200, tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    series: [{ label: "UTC", value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }, ...lines],
    axes: [{ ...axis, incrs: MINUTES_BETWEEN_TICKS.map((minutes) => minutes * 60), values: (_, splits) => splits.map((seconds) => time(seconds * 1000)) }, { ...axis, size: 64 }], scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 1, 1) * 1.05] } },
  };
  return charts.set(id, new uPlot(options, columns, place));
}

function redraw() {
  charts.forEach((chart) => chart.destroy());
  charts.clear();
  refresh();
}

function showFigures(answer, health) {
  const total = Object.fromEntries(TERMS.map((term) => [term, answer.windows.reduce((sum, each) => sum + each.ledger[term], 0)]));
  const until = answer.published_until;
  const open = answer.windows.filter((each) => !each.balanced).length;
  const behind = Object.values(health.lag ?? {}).reduce((sum, each) => sum + each, 0);
  say("published", until === null ? "–" : `${time(until)} UTC`);
  say("lag", until === null ? "–" : duration(Date.now() - until));
  say("clicks", count(answer.windows.reduce((sum, each) => sum + each.clicks, 0)));
  say("late-share", percent(total.late, total.raw));
  say("duplicate-share", percent(total.duplicate, total.raw));
  say("balance", open ? `${open} minutes do not balance` : "balances", open ? "bad" : "good");
  const idle = answer.idle_partitions;
  say("idle", idle === null ? "unknown" : idle.length ? idle.join(", ") : "none", idle?.length ? "warn" : "");
  say("loading", health.trouble ?? (behind ? `${count(behind)} records` : "nothing"), health.trouble ? "bad" : "");
}

function showCharts(windows) {
  const starts = windows.map((each) => each.start / 1000);
  draw("clicks-chart", [starts, windows.map((each) => each.clicks)], [["clicks", "blue", ""]]);
  const share = (term) => windows.map(({ ledger }) => (ledger.raw ? +((100 * ledger[term]) / ledger.raw).toFixed(3) : null));
  draw("shares-chart", [starts, share("late"), share("duplicate")], [["late", "red", " %"], ["duplicate", "amber", " %"]]);
}

function showWindows(windows) {
  fill("windows", windows.slice(-SHOWN_WINDOWS).reverse().map((each) => [
    cell(moment(each.start)), cell(each.verdict, TONE[each.verdict]), cell(count(each.clicks), "number"),
    ...TERMS.map((term) => cell(count(each.ledger[term]), "number")),
    each.balanced ? cell("balances", "good") : cell("does not balance", "bad"),
  ]));
}

function showTop(answer) {
  fill("top", answer.ads.map((each) => [cell(each.rank), cell(each.ad_id, "ad"), cell(count(each.clicks), "number")]));
  const late = answer.late ? `, ${count(answer.late)} late` : "";
  const cut = answer.late_could_change_cut ? "; late clicks could still change the last place" : "";
  at("top-note").textContent = answer.from === null ? "" : `${time(answer.from)}–${time(answer.to)} UTC, ${answer.verdict}${late}${cut}`;
}

function showReconciliations({ reconciliations }) {
  at("no-reconciliations").hidden = reconciliations.length > 0;
  at("reconciled-table").hidden = reconciliations.length === 0;
  fill("reconciled", reconciliations.map((each) => [
    cell(moment(each.published)), cell(moment(each.from)), cell(moment(each.to)),
    cell(each.verdict, each.verdict === "explained" ? "good" : "bad"),
    ...["corrections", "late", "expired_duplicate", "unexplained"].map((name) => cell(count(each[name]), "number")),
  ]));
}

async function refresh() {
  try {
    const [windows, top, reconciliations, health] = await Promise.all([
      ask(`windows?minutes=${at("minutes").value}`), ask(`top?n=20&minutes=${at("top-minutes").value}`),
      ask("reconciliations"), ask("healthz"),
    ]);
    const begun = windows.windows.slice(Math.max(windows.windows.findIndex((each) => each.clicks || each.ledger.raw), 0));
    at("empty").hidden = begun.length > 0;
    showFigures(windows, health);
    showCharts(begun);
    showWindows(begun);
    showTop(top);
    showReconciliations(reconciliations);
    at("login").hidden = at("error").hidden = true;
    at("live").textContent = `Live, ${new Date().toISOString().slice(11, 19)} UTC`;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    at("error").textContent = error.message;
    at("error").hidden = false;
    at("live").textContent = "Not live";
  }
}

async function askForAd(event) {
  event.preventDefault();
  const chart = at("ad-chart");
  try {
    const answer = await ask(`ads/${encodeURIComponent(at("ad").value)}/clicks?minutes=${at("minutes").value}`);
    at("ad-answer").textContent = `${count(answer.clicks)} clicks, ${answer.verdict}, ${count(answer.late)} late`;
    chart.hidden = answer.windows.length === 0;
    const columns = [answer.windows.map((each) => each.start / 1000), answer.windows.map((each) => each.clicks)];
    draw("ad-chart", columns, [["clicks", "blue", ""]]);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    at("ad-answer").textContent = error.message;
    chart.hidden = true;
  }
}

async function keepRefreshing() {
  if (!document.hidden) await refresh();
  setTimeout(keepRefreshing, EVERY_MS);
}

at("ask").addEventListener("submit", askForAd);
at("minutes").addEventListener("change", refresh);
at("top-minutes").addEventListener("change", refresh);
at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value);
  refresh();
});
addEventListener("resize", () => charts.forEach((chart, id) => chart.setSize({ width: at(id).clientWidth, height: 200 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
keepRefreshing();

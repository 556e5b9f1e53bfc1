// Fetches the page anew every few seconds, and says so when nobody answers: a page that stands
// still must not look as if all were well. Without this script the page is whole, and stays as it is.
"use strict";
(() => {
  const EVERY = 15000;
  const OLD = 60000;
  const PARTS = ["content", "stamp", "foot"];
  const gone = document.getElementById("gone");
  let since = null;
  let taken = Date.now();

  const busy = () => {
    const selection = document.getSelection();
    const field = document.activeElement;
    return (selection !== null && !selection.isCollapsed)
      || (field !== null && ["INPUT", "SELECT", "BUTTON"].includes(field.tagName));
  };

  const take = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    if (PARTS.some((id) => next.getElementById(id) === null)) throw new Error("no page of ours");
    const open = [...document.querySelectorAll("details")].map((it) => it.open);
    const scrolled = [...document.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    const link = document.activeElement && document.activeElement.getAttribute("href");
    for (const id of PARTS) document.getElementById(id).replaceWith(next.getElementById(id));
    document.title = next.title;
    document.querySelectorAll("details").forEach((it, place) => { it.open = Boolean(open[place]); });
    document.querySelectorAll(".scroll").forEach((it, place) => { it.scrollLeft = scrolled[place] || 0; });
    // Whoever goes by keyboard stays where they are.
    if (link) [...document.querySelectorAll("main a")].find((it) => it.getAttribute("href") === link)?.focus();
  };

  // Whoever selects text or fills a field is not disturbed, and yet told how old it is.
  const wait = () => {
    if (since === null && Date.now() - taken > OLD) {
      gone.textContent = "What stands here is of " + new Date(taken).toISOString().slice(11, 19)
        + " UTC: it is not fetched anew while text is selected or a field is in use.";
    }
  };

  const look = async () => {
    if (document.hidden) return;
    if (busy()) return wait();
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(EVERY) });
      // What the daemon says of its own trouble is a page as well.
      take(await answer.text());
      since = null;
      taken = Date.now();
      gone.textContent = "";
    } catch {
      since = since || new Date();
      gone.textContent = "lapsed has not answered since " + since.toISOString().slice(11, 19)
        + " UTC: what stands here is old. Is the daemon running?";
    }
  };

  // Where the drawing is wider than the screen, this moment comes first into view.
  const moment = document.querySelector(".timeline .now");
  const frame = moment && moment.closest(".scroll");
  if (frame) frame.scrollLeft += moment.getBoundingClientRect().left - frame.getBoundingClientRect().left - frame.clientWidth / 2;

  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
})();

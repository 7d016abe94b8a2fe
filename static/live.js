"use strict";
// What keeps a page current. The server says which regions have changed, never how: the page fetches itself again and
// swaps the elements that are marked data-live. While somebody chooses rows, types, or has a dialog open, nothing moves.

(() => {
  const { dashboard } = window;
  const AT_MOST_EVERY = 2000;
  const POLL_EVERY = 10000;
  const FAILURES = 3;
  const RETRY = 2000;

  const regions = () => [...document.querySelectorAll("[data-live]")];

  function held() {
    const active = document.activeElement;
    return (
      dashboard.rows.chosen() > 0 ||
      dashboard.typing(active) ||
      document.querySelector("dialog[open], details.confirm[open], details.menu[open]") !== null ||
      Boolean(String(window.getSelection()))
    );
  }

  // -- swapping

  /** Put what was fetched in the place of what is shown; return how many rows there are that aren't shown. */
  function swap(fetched, names) {
    let fresh = 0;
    for (const region of regions()) {
      if (names && !names.has(region.dataset.live) && !names.has("*")) continue;
      const other = fetched.getElementById(region.id);
      if (!other || other.isEqualNode(region)) continue;
      fresh += "liveRows" in region.dataset && region.querySelector("tbody tr[id]") && other.querySelector("tbody") ? rows(region, other) : whole(region, other);
    }
    dashboard.ages();
    return fresh;
  }

  function whole(region, other) {
    const unfolded = [...region.querySelectorAll("details[open][id]")].map((each) => each.id);
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    const fresh = document.adoptNode(other);
    for (const id of unfolded) {
      const details = fresh.querySelector(`#${CSS.escape(id)}`);
      if (details) details.open = true;
    }
    region.replaceWith(fresh);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    return 0;
  }

  /** Rows stay where they are: those still there are updated in place, those gone fade, new ones are only counted. */
  function rows(region, other) {
    const theirs = new Map([...other.querySelectorAll("tbody tr[id]")].map((row) => [row.id, row]));
    const at = dashboard.rows.at()?.id;
    for (const row of region.querySelectorAll("tbody tr[id]")) {
      const next = theirs.get(row.id);
      theirs.delete(row.id);
      if (!next) row.classList.add("gone");
      else if (said(row) !== said(next)) replaceRow(row, document.adoptNode(next), row.id === at);
      else row.classList.remove("gone");
    }
    return theirs.size;
  }

  function replaceRow(row, next, stands) {
    next.classList.add("changed");
    const focused = row === document.activeElement;
    row.replaceWith(next);
    if (stands) {
      next.classList.add("at");
      next.tabIndex = -1;
      if (focused) next.focus({ preventScroll: true });
    }
  }

  /** What a row says, but for ages, which change by themselves, and for what Alpine wrote on it. */
  function said(row) {
    const copy = row.cloneNode(true);
    for (const time of copy.querySelectorAll("time[data-ago]")) time.textContent = "";
    const states = [...copy.querySelectorAll("[data-state]")].map((each) => each.dataset.state);
    return `${copy.textContent.replace(/\s+/g, " ")}|${states}`;
  }

  document.addEventListener("alpine:init", () => {
    window.Alpine.data("live", () => ({
      used: false,
      state: "live",
      anew: 0,
      since: "",
      source: null,
      timer: 0,
      poll: 0,
      failures: 0,
      fetching: false,
      again: false,
      fetchedAt: 0,
      names: null,

      get words() {
        return this.$root.dataset;
      },
      get going() {
        return this.state !== "paused";
      },
      get paused() {
        return this.state === "paused";
      },
      get pressed() {
        return String(this.paused);
      },
      get toggleWord() {
        return this.paused ? this.words.saidGo : this.words.saidPause;
      },
      get stateWord() {
        const { saidLive, saidPaused, saidHeld, saidStale } = this.words;
        if (this.state === "stale") return saidStale.replace("{time}", this.since);
        return { live: saidLive, paused: saidPaused, held: saidHeld }[this.state];
      },
      get newWord() {
        return this.words.saidNew.replace("{count}", new Intl.NumberFormat(document.documentElement.lang).format(this.anew));
      },

      init() {
        this.used = regions().length > 0;
        if (!this.used) return;
        this.names = new Set();
        this.fetchedAt = Date.now();
        document.addEventListener("visibilitychange", () => this.look());
        document.addEventListener("dashboard:refresh", () => this.refresh(true));
        for (const kind of ["dashboard:chosen", "focusout", "close", "toggle"]) {
          document.addEventListener(kind, () => setTimeout(() => this.release(), 0), true);
        }
        window.addEventListener("pagehide", () => this.hangUp());
        window.addEventListener("pageshow", (event) => event.persisted && this.look());
        this.look();
      },

      // -- the stream, open only while somebody can see the page

      look() {
        if (document.hidden || this.paused) this.hangUp();
        else if (!this.source && !this.poll) this.listen();
      },
      listen() {
        const source = new EventSource(document.body.dataset.events);
        this.source = source;
        source.addEventListener("open", () => {
          this.$root.dataset.listening = "";
          this.fine();
        });
        source.addEventListener("changed", (event) => {
          for (const name of JSON.parse(event.data)) this.names.add(name);
          this.refresh(false);
        });
        source.addEventListener("error", () => this.failed(source));
      },
      hangUp() {
        delete this.$root.dataset.listening;
        if (this.source) window.Alpine.raw(this.source).close();
        this.source = null;
        clearTimeout(this.timer);
        clearInterval(this.poll);
        this.poll = this.timer = 0;
      },
      fine() {
        this.failures = 0;
        clearInterval(this.poll);
        this.poll = 0;
        if (this.state === "stale") this.state = "live";
      },
      failed(source) {
        this.failures += 1;
        if (this.failures >= FAILURES) {
          this.hangUp();
          this.stale();
          this.poll = setInterval(() => this.tick(), POLL_EVERY);
        } else if (window.Alpine.raw(source).readyState === EventSource.CLOSED) {
          this.source = null;
          this.timer = setTimeout(() => this.look(), RETRY * this.failures);
        }
      },
      stale() {
        if (this.state === "stale" || this.paused) return;
        this.since = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.documentElement.dataset.zone }).format(this.fetchedAt);
        this.state = "stale";
      },
      // Polling brings the page up to date, and tries the stream again.
      async tick() {
        if (document.hidden) return;
        this.names.add("*");
        if (await this.refresh(true)) {
          this.hangUp();
          this.failures = FAILURES - 1;
          this.listen();
        }
      },

      // -- fetching

      async refresh(now) {
        if (this.paused && !now) return false;
        if (now) this.names.add("*");
        if (held()) {
          if (this.state === "live") this.state = "held";
          return false;
        }
        const wait = this.fetchedAt + AT_MOST_EVERY - Date.now();
        if (this.fetching || (wait > 0 && !now)) {
          this.again = true;
          if (!this.timer) this.timer = setTimeout(() => { this.timer = 0; if (this.again) this.refresh(false); }, Math.max(wait, 100));
          return false;
        }
        this.again = false;
        return this.fetch();
      },
      async fetch() {
        this.fetching = true;
        const names = this.names;
        this.names = new Set();
        try {
          const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
          if (answer.type === "opaqueredirect") {
            location.reload(); // the session has ended: the login comes, and leads back here
            return false;
          }
          if (!answer.ok) throw new Error(String(answer.status));
          const fetched = new DOMParser().parseFromString(await answer.text(), "text/html");
          if (held()) {
            for (const name of window.Alpine.raw(names)) this.names.add(name);
            if (this.state === "live") this.state = "held";
            return false;
          }
          this.anew = swap(fetched, window.Alpine.raw(names));
          this.fetchedAt = Date.now();
          dashboard.say(this.anew ? this.newWord : this.words.saidUpdated);
          document.dispatchEvent(new CustomEvent("dashboard:swapped"));
          if (this.state === "held") this.state = "live";
          return true;
        } catch {
          for (const name of window.Alpine.raw(names)) this.names.add(name);
          if (!this.poll) this.again = true;
          return false;
        } finally {
          this.fetching = false;
        }
      },
      release() {
        if (this.state !== "held" || held()) return;
        this.state = "live";
        this.refresh(false);
      },

      // -- what the reader does

      toggle() {
        if (this.paused) {
          this.state = "live";
          this.names.add("*");
          this.look();
          this.refresh(true);
        } else {
          this.state = "paused";
          this.hangUp();
        }
      },
      showNew() {
        location.reload();
      },
    }));
  });
})();

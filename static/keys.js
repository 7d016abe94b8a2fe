"use strict";
// The keyboard: single keys (which can be switched off), `g` and a letter, and the palette.

(() => {
  const { dashboard } = window;
  const CHORD = 1200;
  let chord = 0;

  function single(key) {
    switch (key) {
      case "/": {
        const box = document.querySelector("[data-search]");
        if (!box) return false;
        box.focus();
        box.select();
        return true;
      }
      case "?":
        dashboard.open("shortcuts");
        return true;
      case "j":
        dashboard.rows.move(1);
        return true;
      case "k":
        dashboard.rows.move(-1);
        return true;
      case "x":
        dashboard.rows.choose();
        return true;
      case "r": {
        const button = document.querySelector('[data-key="r"]:not(:disabled)');
        if (button) button.click();
        else document.dispatchEvent(new CustomEvent("dashboard:refresh"));
        return true;
      }
      case "Enter":
        return document.activeElement === dashboard.rows.at() && dashboard.rows.open();
      default:
        return false;
    }
  }

  function go(letter) {
    const link = [...document.querySelectorAll("a[data-chord]")].find((each) => each.dataset.chord === letter);
    if (link) link.click();
  }

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      dashboard.open("palette");
      return;
    }
    if (event.key === "Escape" && dashboard.typing(document.activeElement) && !document.querySelector("dialog[open]")) {
      document.activeElement.blur();
      return;
    }
    if (document.documentElement.dataset.shortcuts === "off" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (dashboard.typing(event.target) || document.querySelector("dialog[open]")) return;
    if (chord && Date.now() - chord < CHORD) {
      chord = 0;
      go(event.key);
      return;
    }
    if (event.key === "g") chord = Date.now();
    else if (single(event.key)) event.preventDefault();
  });

  // -- the palette: the rail's pages, and whatever on this page is marked data-command

  function commands() {
    const found = document.querySelectorAll("[data-command]");
    return [...found].map((element) => ({
      label: (element.dataset.command || element.textContent).trim(),
      keys: element.dataset.chord ? `g ${element.dataset.chord}` : element.dataset.key || "",
      element,
    }));
  }

  // The letters of what is typed, in their order; what begins with it comes first.
  function rank(label, typed) {
    const text = label.toLocaleLowerCase();
    if (text.startsWith(typed)) return 0;
    if (text.includes(typed)) return 1;
    let from = 0;
    for (const letter of typed) {
      from = text.indexOf(letter, from) + 1;
      if (!from) return -1;
    }
    return 2;
  }

  document.addEventListener("alpine:init", () => {
    window.Alpine.data("palette", () => ({
      typed: "",
      items: [],
      at: 0,
      found: [],
      get nothing() {
        return this.items.length === 0;
      },
      get activeId() {
        return this.items.length ? this.items[this.at].id : "";
      },
      init() {
        new MutationObserver(() => {
          if (this.$root.open) this.narrow();
        }).observe(this.$root, { attributes: true, attributeFilter: ["open"] });
      },
      narrow() {
        const typed = this.typed.trim().toLocaleLowerCase();
        const ranked = commands().map((command) => [rank(command.label, typed), command]).filter(([place]) => place >= 0);
        ranked.sort(([one], [other]) => one - other);
        this.found = ranked.map(([, command]) => command.element);
        this.at = 0;
        this.items = ranked.map(([, { label, keys }], number) => ({ id: `command-${number}`, number, label, keys, selected: String(number === 0) }));
      },
      next() {
        this.stand(this.at + 1);
      },
      previous() {
        this.stand(this.at - 1);
      },
      stand(number) {
        if (!this.items.length) return;
        this.at = (number + this.items.length) % this.items.length;
        for (const item of this.items) item.selected = String(item.number === this.at);
        this.$nextTick(() => document.getElementById(this.activeId)?.scrollIntoView({ block: "nearest" }));
      },
      choose() {
        this.run(this.at);
      },
      pick(event) {
        this.run(Number(event.target.closest("[data-number]").dataset.number));
      },
      run(number) {
        const element = window.Alpine.raw(this.found)[number];
        this.$root.close();
        if (element) window.Alpine.raw(element).click();
      },
      closed() {
        this.typed = "";
        this.items = [];
        this.found = [];
      },
    }));
  });
})();

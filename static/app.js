"use strict";
// Theme, copying, menus, dialogs, and moments that grow older. Everything here only helps: without it each page works.

(() => {
  const root = document.documentElement;

  // -- what others use

  const dashboard = (window.dashboard = {
    /** Tell a screen reader, at most once in five seconds. */
    say(text) {
      const now = Date.now();
      if (now - (dashboard.saidAt || 0) < 5000) return;
      dashboard.saidAt = now;
      const place = document.querySelector("[data-said]");
      if (place) place.textContent = text;
    },
    /** Whether somebody is typing there. */
    typing(element) {
      return Boolean(element && element.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]"));
    },
    open(id) {
      const dialog = document.getElementById(id);
      if (dialog && !dialog.open) dialog.showModal();
    },
    ages,
  });

  // -- on a narrow screen the sections are wider than it: the one that is open is brought into sight

  const section = document.querySelector(".nav [aria-current]");
  if (section) section.parentElement.scrollLeft = section.offsetLeft - (section.parentElement.clientWidth - section.offsetWidth) / 2;

  // -- moments grow older

  const STEPS = [["year", 31536000], ["month", 2592000], ["week", 604800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const relative = new Intl.RelativeTimeFormat(root.lang, { numeric: "always" });

  function age(seconds) {
    const [unit, length] = STEPS.find(([, each]) => Math.abs(seconds) >= each) || STEPS[STEPS.length - 1];
    return relative.format(Math.round(seconds / length), unit);
  }

  // The server's clock counts: what is off in the browser's own is taken away.
  const skew = (() => {
    const loaded = document.querySelector("body[data-now]");
    return loaded ? Date.parse(loaded.dataset.now) - Date.now() : 0;
  })();

  function ages(within = document) {
    const now = Date.now() + skew;
    for (const time of within.querySelectorAll("time[data-ago]")) {
      const text = age((Date.parse(time.dateTime) - now) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  setInterval(() => {
    if (!document.hidden) ages();
  }, 15000);

  // -- the machine's own zone, for who hasn't chosen one: the next page is written in it

  if ("zoneGuessed" in root.dataset) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (zone && /^[\w+/-]{1,64}$/.test(zone)) {
      document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
    }
  }

  // -- what stands within dialogs

  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    const dialog = event.target.closest("dialog");
    if (close && dialog) dialog.close();
    else if (dialog && event.target === dialog && outside(event, dialog)) dialog.close();
  });

  function outside(event, dialog) {
    const box = dialog.getBoundingClientRect();
    return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
  }

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("alpine:initialized", () => {
    root.dataset.ready = "";
  });

  document.addEventListener("alpine:init", () => {
    const Alpine = window.Alpine;

    Alpine.data("theme", () => ({
      // The page changes at once; the choice is kept by the same form that works without a script.
      save(event) {
        event.preventDefault();
        const form = event.target;
        const button = event.submitter;
        root.dataset.theme = button.value;
        for (const each of form.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
        fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, button)), redirect: "manual", keepalive: true });
      },
    }));

    Alpine.data("copy", () => ({
      done: false,
      get waiting() {
        return !this.done;
      },
      async copy() {
        await navigator.clipboard.writeText(this.$root.dataset.value);
        this.done = true;
        setTimeout(() => { this.done = false; }, 1500);
      },
    }));

    Alpine.data("menu", () => ({
      shut() {
        this.$root.open = false;
        this.$root.querySelector("summary").focus();
      },
    }));

    Alpine.data("flash", () => ({
      shown: true,
      close() {
        this.shown = false;
      },
    }));

    Alpine.data("opener", () => ({
      open() {
        const menu = this.$root.closest("details.menu");
        if (menu) menu.open = false;
        dashboard.open(this.$root.dataset.opens);
      },
    }));

    Alpine.data("dialog", () => ({}));

    // A question before a change. Without a script it unfolds under its button; here its panel moves into a dialog.
    Alpine.data("confirm", () => ({
      ask(event) {
        event.preventDefault();
        const panel = this.$refs.panel;
        const dialog = document.createElement("dialog");
        dialog.className = "ask";
        const title = panel.querySelector("h2");
        if (title) dialog.setAttribute("aria-label", title.textContent);
        const home = this.$root;
        dialog.addEventListener("close", () => {
          home.append(panel);
          dialog.remove();
        });
        dialog.append(panel);
        document.body.append(dialog);
        dialog.showModal();
        const first = panel.querySelector("input:not([type=hidden]), textarea, select");
        if (first) first.focus();
      },
    }));
  });
})();

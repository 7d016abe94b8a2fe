"use strict";
// Rows of a list: which are chosen, and at which one the keyboard stands.

(() => {
  const rows = (window.dashboard.rows = {
    all() {
      const table = document.querySelector("[data-rows]");
      return table ? [...table.querySelectorAll("tbody tr")].filter((row) => row.offsetParent !== null) : [];
    },
    at() {
      return document.querySelector("[data-rows] tbody tr.at");
    },
    move(step) {
      const all = rows.all();
      if (!all.length) return;
      const now = all.indexOf(rows.at());
      rows.stand(all[now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + step))]);
    },
    stand(row) {
      for (const other of document.querySelectorAll("[data-rows] tr.at")) other.classList.remove("at");
      row.classList.add("at");
      row.tabIndex = -1;
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    },
    open() {
      const row = rows.at();
      const link = row && (row.querySelector("a[data-open]") || row.querySelector("a[href]"));
      if (link) link.click();
      return Boolean(link);
    },
    choose() {
      const row = rows.at();
      const box = row && row.querySelector("input[data-select]");
      if (box) box.click();
    },
    chosen(within = document) {
      return within.querySelectorAll("input[data-select]:checked").length;
    },
  });

  document.addEventListener("alpine:init", () => {
    window.Alpine.data("selection", () => ({
      count: 0,
      last: null,
      init() {
        this.tell();
      },
      boxes() {
        return [...this.$root.querySelectorAll("input[data-select]")];
      },
      changed(event) {
        if (event.target.matches("[data-select-all]")) {
          for (const box of this.boxes()) box.checked = event.target.checked;
        }
        this.tell();
      },
      // With the shift key held, all between this row and the one chosen before it.
      clicked(event) {
        if (!event.target.matches("[data-select]")) return;
        const boxes = this.boxes();
        const from = boxes.indexOf(this.last);
        const to = boxes.indexOf(event.target);
        if (event.shiftKey && from >= 0) {
          for (const box of boxes.slice(Math.min(from, to), Math.max(from, to) + 1)) box.checked = event.target.checked;
        }
        this.last = event.target;
        this.tell();
      },
      clear(event) {
        event.preventDefault();
        for (const box of this.boxes()) box.checked = false;
        this.tell();
      },
      tell() {
        const boxes = this.boxes();
        const count = boxes.filter((box) => box.checked).length;
        const all = this.$root.querySelector("[data-select-all]");
        if (all) {
          all.checked = count > 0 && count === boxes.length;
          all.indeterminate = count > 0 && count < boxes.length;
        }
        this.count = count;
        document.dispatchEvent(new CustomEvent("dashboard:chosen"));
      },
    }));
  });
})();

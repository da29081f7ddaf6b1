// The table of claims by paper, verdict and words. Without this script everything is shown and no control.
(() => {
  const form = document.getElementById("filter");
  const rows = [...document.querySelectorAll("#claims tbody tr")];
  const words = rows.map(row => row.textContent.toLowerCase());
  const chips = [...form.querySelectorAll("button[data-verdict]")];
  const update = () => {
    const chosen = chips.filter(chip => chip.getAttribute("aria-pressed") === "true").map(chip => chip.dataset.verdict);
    const sought = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const paper = form.elements.paper.value;
    let shown = 0;
    rows.forEach((row, n) => {
      row.hidden = !((!paper || row.dataset.paper === paper)
        && (!chosen.length || chosen.includes(row.dataset.verdict))
        && sought.every(word => words[n].includes(word)));
      shown += !row.hidden;
    });
    document.getElementById("shown").textContent =
      shown === rows.length ? `all ${shown} claims` : `${shown} of ${rows.length} claims`;
    form.elements.clear.disabled = !paper && !chosen.length && !sought.length;
  };
  chips.forEach(chip => chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", chip.getAttribute("aria-pressed") !== "true");
    update();
  }));
  form.addEventListener("input", update);
  form.addEventListener("change", update);
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("reset", () => {
    chips.forEach(chip => chip.setAttribute("aria-pressed", "false"));
    setTimeout(update);
  });
  form.hidden = false;
  update();
})();

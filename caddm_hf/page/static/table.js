// Sorts the table of several files, also when new rows come, and reports which file was chosen.

let key = "number", rising = true;
const sort = () => {
  const body = element.querySelector("tbody");
  if (!body) return;
  const value = (row) => row.querySelector("." + key).dataset.value;
  const words = (a, b) => a.localeCompare(b, undefined, {numeric: true, sensitivity: "base"});
  const compare = ["file", "verdict-words"].includes(key) ? words : (a, b) => Number(a) - Number(b);
  const rows = [...body.rows];
  const sorted = [...rows].sort((a, b) => (rising ? 1 : -1) * compare(value(a), value(b)));
  if (sorted.some((row, at) => row !== rows[at])) body.append(...sorted);
  for (const head of element.querySelectorAll("th")) {
    const order = head.classList.contains(key) ? (rising ? "ascending" : "descending") : "none";
    if (head.getAttribute("aria-sort") !== order) head.setAttribute("aria-sort", order);
  }
};
new MutationObserver(sort).observe(element, {childList: true, subtree: true});
element.addEventListener("click", (event) => {
  const head = event.target.closest("[data-sort]");
  const file = event.target.closest("[data-number]");
  if (head) {
    rising = key === head.dataset.sort ? !rising : true;
    key = head.dataset.sort;
    sort();
  } else if (file) {
    for (const other of element.querySelectorAll("[aria-current]"))
      other.removeAttribute("aria-current");
    file.setAttribute("aria-current", "true");
    trigger("choose_row", {number: Number(file.dataset.number)});
  }
});

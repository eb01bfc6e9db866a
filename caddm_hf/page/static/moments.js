// Jumping to the moments of a result, and what is shown of them. `kind` is the tab's: the parts
// `KIND-preview` and `KIND-moment` show moments.

const part = (name) => document.getElementById(kind + "-" + name);
let holder = null, moments = [], current = -1;

const make = (tag, className, text) => {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};
const stage = () => part("preview")?.querySelector(".stage");
const media = () => stage()?.querySelector("video, img");
const indexAt = (time) => moments.findIndex((m) => Math.abs(m.time_s - time) < 0.0006);

// Face boxes, heatmaps and artifact boxes over the player, in pixels of the frame.
const drawOverlay = () => {
  const overlay = stage()?.querySelector(".overlay"), shown = media();
  if (!overlay) return;
  overlay.replaceChildren();
  const moment = moments[current];
  const width = shown.videoWidth || shown.naturalWidth;
  const height = shown.videoHeight || shown.naturalHeight;
  if (!moment || !width || !shown.clientWidth) return;
  if (shown.tagName === "VIDEO" &&
      (!shown.paused || Math.abs(shown.currentTime - moment.time_s) > 0.02)) return;
  const scale = Math.min(shown.clientWidth / width, shown.clientHeight / height);
  const left = shown.offsetLeft + (shown.clientWidth - width * scale) / 2;
  const top = shown.offsetTop + (shown.clientHeight - height * scale) / 2;
  Object.assign(overlay.style, {width: width + "px", height: height + "px",
    transform: "translate(" + left + "px," + top + "px) scale(" + scale + ")"});
  for (const face of moment.faces) {
    if (face.matrix) {
      const crop = make("div", "crop");
      const zoom = scale * Math.hypot(face.matrix[0], face.matrix[1]);
      Object.assign(crop.style, {width: face.side + "px", height: face.side + "px",
        transform: "matrix(" + face.matrix.join(",") + ")"});
      const heat = make("img", "heat");
      heat.alt = "";
      heat.src = face.heat;
      crop.append(heat, ...marks(face, 1.5 / zoom));
      overlay.append(crop);
    }
    const [x0, y0, x1, y1] = face.box_xyxy;
    const box = make("div", "face-box");
    Object.assign(box.style, {left: x0 + "px", top: y0 + "px", width: x1 - x0 + "px",
      height: y1 - y0 + "px", borderWidth: 2 / scale + "px"});
    const label = make("span", "", face.person + ": " + (face.percent ?? "not judged"));
    label.style.fontSize = 12 / scale + "px";
    box.append(label);
    overlay.append(box);
  }
};
const marks = (face, border) => face.marks.map(([x0, y0, x1, y1]) => {
  const mark = make("div", "mark-box");
  Object.assign(mark.style, {left: 100 * x0 + "%", top: 100 * y0 + "%",
    width: 100 * (x1 - x0) + "%", height: 100 * (y1 - y0) + "%", borderWidth: border + "px"});
  return mark;
});

// The same moment in words and larger pictures, below the player.
const fillPanel = () => {
  const panel = part("moment")?.querySelector(".moment-view"), moment = moments[current];
  if (!panel) return;
  panel.replaceChildren();
  panel.hidden = !moment;
  if (!moment) return;
  const still = moments.length === 1 && !element.querySelector(".timeline");
  const head = make("div", "moment-head");
  head.append(make("b", "", still ? "Faces" : "At " + moment.shown_time));
  if (moments.length > 1) {
    for (const [text, step, label] of
        [["\u2039", -1, "Earlier moment"], ["\u203a", 1, "Later moment"]]) {
      const button = make("button", "step", text);
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.disabled = !moments[current + step];
      button.addEventListener("click", () => {
        show(current + step);
        part("moment").querySelector("[aria-label='" + label + "']")?.focus();
      });
      head.append(button);
    }
  }
  const faces = make("div", "moment-faces");
  for (const face of moment.faces.slice(0, 4)) {
    const figure = make("figure");
    if (face.crop) {
      const stack = make("div", "stack"), crop = make("img"), heat = make("img", "heat");
      crop.src = face.crop;
      crop.alt = "Face of person " + face.person + " under its heatmap, with artifact boxes";
      heat.src = face.heat;
      heat.alt = "";
      stack.append(crop, heat, ...marks(face, 2));
      figure.append(stack);
    }
    figure.append(make("figcaption", "", "Person " + face.person + ": " + (face.percent ?? "not judged") +
      (face.crop ? "" : " (no picture kept)")));
    faces.append(figure);
  }
  const rest = moment.faces.length - 4;
  panel.append(head, faces);
  if (rest > 0) panel.append(make("p", "small", "and " + rest + " more"));
};

const points = (timeline) => {
  const plot = [...timeline.querySelectorAll("svg")].find((svg) => svg.clientWidth > 0);
  return plot ? [...plot.querySelectorAll(".moment")] : [];
};
// The chosen point of each person's timeline, also for those who only hear the page.
const markTimelines = () => {
  const time = moments[current]?.time_s;
  for (const timeline of element.querySelectorAll(".timeline")) {
    for (const point of timeline.querySelectorAll(".moment")) {
      point.classList.toggle("chosen", Math.abs(Number(point.dataset.time) - time) < 0.0006);
    }
    const all = [...timeline.querySelector("svg").querySelectorAll(".moment")];
    const at = all.findIndex((point) => point.classList.contains("chosen"));
    if (at < 0) continue;
    timeline.setAttribute("aria-valuenow", at + 1);
    timeline.setAttribute("aria-valuetext", all[at].querySelector("title").textContent);
  }
};
const seek = () => {
  const shown = media();
  if (!moments[current] || shown?.tagName !== "VIDEO") return;
  shown.pause();
  // A little into the frame: rounded times could lie just before it.
  shown.currentTime = moments[current].time_s + 0.002;
};
const show = (index, follow = true) => {
  if (!moments[index]) return;
  current = index;
  seek();
  markTimelines();
  fillPanel();
  drawOverlay();
  if (follow) (stage() || part("moment"))?.scrollIntoView({block: "nearest", behavior: "smooth"});
};

const readResult = () => {
  const found = element.querySelector("[data-moments]");
  if (found === holder) return;
  holder = found;
  moments = [];
  let first = 0;
  if (found) ({moments, first} = JSON.parse(found.dataset.moments));
  current = -1;
  if (moments.length) return show(first, false);
  fillPanel();
  drawOverlay();
};
new MutationObserver(readResult).observe(element, {childList: true, subtree: true});
readResult();

element.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-time]");
  if (chosen) return show(indexAt(Number(chosen.dataset.time)));
  const timeline = event.target.closest(".timeline");
  if (!timeline) return;
  const away = (point) => {
    const box = point.getBoundingClientRect();
    return Math.abs(box.left + box.width / 2 - event.clientX);
  };
  const nearest = points(timeline).sort((a, b) => away(a) - away(b))[0];
  if (nearest) show(indexAt(Number(nearest.dataset.time)));
});
element.addEventListener("keydown", (event) => {
  const timeline = event.target.closest(".timeline");
  if (!timeline) return;
  const all = points(timeline);
  const at = all.findIndex((point) => point.classList.contains("chosen"));
  const to = {ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1,
    PageUp: at + 5, PageDown: at - 5, Home: 0, End: all.length - 1}[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const point = all[Math.max(0, Math.min(all.length - 1, to))];
  show(indexAt(Number(point.dataset.time)));
});
// The player comes and goes with the file, and its events do not bubble, hence the capture.
for (const name of ["loadedmetadata", "load", "loadeddata", "seeked", "play"]) {
  document.addEventListener(name, (event) => {
    if (event.target !== media()) return;
    if (name === "loadedmetadata") seek();
    drawOverlay();
  }, true);
}
window.addEventListener("resize", drawOverlay);

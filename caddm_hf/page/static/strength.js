// One strength for every heatmap on the page, whichever slider set it.
(percent) => {
  document.documentElement.style.setProperty("--heat", percent / 100);
}

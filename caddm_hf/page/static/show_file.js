// Any file is taken, since only reading it shows what it is; so the preview must live with files
// that a browser cannot show. Built with the DOM, which escapes the file's name.
(file) => {
  if (!file) return "";
  const still = /\.(jpe?g|png|webp|bmp|gif|tiff?|avif)$/i.test(file.orig_name || file.path);
  const media = document.createElement(still ? "img" : "video");
  const attributes = still ? {alt: "The chosen picture"}
    : {controls: "", playsinline: "", "aria-label": "The chosen video"};
  for (const [name, value] of Object.entries(attributes)) media.setAttribute(name, value);
  media.setAttribute("src", file.url);
  return '<div class="stage">' + media.outerHTML + '<div class="overlay"></div></div>';
}

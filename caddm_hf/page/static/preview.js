// An error event does not bubble, hence the capturing listener.
element.addEventListener("error", (event) => {
  const media = event.target;
  if (!media.matches(".stage > video, .stage > img")) return;
  const tries = Number(media.dataset.tries || 0);
  if (tries < 4) {  // a busy browser or server may fail for a moment
    media.dataset.tries = tries + 1;
    setTimeout(() => { media.src = media.src; }, 400 * (tries + 1));
    return;
  }
  const note = document.createElement("p");
  note.className = "no-preview";
  note.textContent = "Your browser cannot show this file. It can be checked all the same.";
  media.parentElement.replaceWith(note);
}, true);

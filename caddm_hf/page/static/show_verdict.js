// On a phone the result is below everything else, and there was nothing to scroll to before.
(selector) => {
  const result = document.querySelector(selector);
  if (result.getBoundingClientRect().top > innerHeight / 3) result.scrollIntoView();
}

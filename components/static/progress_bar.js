// Bring the bar into sight when it appears after a press: the form that it belongs to may be longer than the window, and
// what is shown above the bar may push it out. A page that was only loaded, where nothing was pressed, stays where it is.
if (navigator.userActivation?.hasBeenActive) {
  // Once the row around it is laid out.
  requestAnimationFrame(() => {
    const {top, bottom} = element.getBoundingClientRect();
    // In the middle, because what the work makes appears in the place of the bar, and is higher.
    if (top < 0 || bottom > innerHeight) element.scrollIntoView({block: 'center', behavior: 'smooth'});
  });
}

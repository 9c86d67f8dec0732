// Bring a part into sight that a press has filled, with space for it to grow: on a phone it is above or below the form,
// elsewhere beside it. A part of a tab that is being opened is waited for.
() => {
  let frames = 120;
  const show = () => {
    const part = document.getElementById('PART'), {top} = part.getBoundingClientRect();
    if (!part.getClientRects().length && frames-- > 0) requestAnimationFrame(show);
    else if (top < 0 || top > innerHeight / 2) part.scrollIntoView({block: 'start', behavior: 'smooth'});
  };
  requestAnimationFrame(show);
}

// Bring a part into sight that a press has filled, with space for it to grow: on a phone it is above or below the form,
// elsewhere beside it.
() => requestAnimationFrame(() => {
  const part = document.getElementById('PART'), {top} = part.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) part.scrollIntoView({block: 'start', behavior: 'smooth'});
})

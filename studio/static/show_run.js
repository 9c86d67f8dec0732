// Bring the head of the run that was started into sight, above the form on a phone and beside it elsewhere.
() => {
  const head = document.getElementById('run-row'), {top, bottom} = head.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) head.scrollIntoView({block: 'start', behavior: 'smooth'});
}

() => {
  const prompt = document.querySelector('#prompt textarea');
  prompt.focus({preventScroll: true});
  prompt.scrollIntoView({block: 'center', behavior: 'smooth'});
}

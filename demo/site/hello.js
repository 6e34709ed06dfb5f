// A greeting by a Rust function, a count by a C program.
import { $, call, failure, say, show, startLanguage, timing } from './common.js';

// Send a form's text to a function; `words` makes a sentence of its reply.
function answer(form, input, output, stats, path, words) {
  $(form).addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      const r = await call(path, $(input).value, 'text/plain');
      $(output).textContent = words(await r.blob.text());
      show($(stats), timing(r));
    } catch (error) {
      $(output).textContent = '';
      show($(stats), failure(error));
    }
  });
}

startLanguage();
answer('say', 'name', 'reply', 'say-stats', '/f/hello/say', (text) => text);
answer('count', 'words', 'counts', 'count-stats', '/f/wordcount', (text) => say('counted', JSON.parse(text)));

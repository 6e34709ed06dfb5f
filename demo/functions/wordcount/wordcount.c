/* A function in C: a plain program, called as a CGI program (RFC 3875). POST /f/wordcount counts
 * the text in the body. Build: clang --target=wasm32-wasi -O2 -o wordcount.wasm wordcount.c */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    const char *method = getenv("REQUEST_METHOD");
    unsigned long bytes = 0, lines = 0, words = 0;
    int c, before = ' ';

    if (!method || strcmp(method, "POST") != 0) {
        puts("Status: 405 Method Not Allowed\nAllow: POST\nContent-Type: text/plain; "
             "charset=utf-8\n");
        puts("send the text to count with POST");
        return 0;
    }
    while ((c = getchar()) != EOF) {
        bytes++;
        lines += c == '\n';
        words += isspace(before) && !isspace(c);
        before = c;
    }
    printf("Content-Type: application/json\n\n{\"bytes\":%lu,\"lines\":%lu,\"words\":%lu}\n", bytes,
           lines, words);
    return 0;
}

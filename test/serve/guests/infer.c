/* A command that has the fake backend of test/nn compute: the body is the model's words, the reply
 * what came of it, a line each. Query "count": so many times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssvm_tensorflow.h"

#define NAME(text) text, sizeof(text) - 1
#define INPUTS 8

/* A frozen graph of one placeholder, whose name is "fake:WORDS". */
static uint32_t make_model(const char *words, unsigned char ret[256])
{
    static const char op[] = "Placeholder";
    size_t name = strlen(words) + 5, node = 2 + name + 2 + strlen(op);

    if (node > 127)
        exit(1);
    ret[0] = 0x0a;
    ret[1] = (unsigned char)node;
    ret[2] = 0x0a;
    ret[3] = (unsigned char)name;
    memcpy(ret + 4, "fake:", 5);
    memcpy(ret + 9, words, name - 5);
    ret[4 + name] = 0x12;
    ret[5 + name] = (unsigned char)strlen(op);
    memcpy(ret + 6 + name, op, strlen(op));
    return (uint32_t)node + 2;
}

static void say(ssvm_session s, const char *name)
{
    ssvm_tensor t = ssvm_tensorflow_get_output_tensor(s, name, (uint32_t)strlen(name), 0);
    uint32_t len = ssvm_tensorflow_get_tensor_len(t);
    float *out = malloc(len + 1);

    printf("%s: %u", name, (unsigned)len);
    ssvm_tensorflow_get_tensor_data(t, out);
    for (uint32_t i = 0; i < len / 4 && i < INPUTS; i++)
        printf(" %g", (double)out[i]);
    printf("\n");
    free(out);
}

static void infer(const char *words)
{
    static const int64_t sides[] = {2, INPUTS / 2};
    static unsigned char model[256];
    float in[INPUTS];
    ssvm_session s = ssvm_tensorflow_create_session(model, make_model(words, model));
    uint32_t status;

    if (!s) {
        printf("no session\n");
        return;
    }
    for (unsigned i = 0; i < INPUTS; i++)
        in[i] = (float)i;
    ssvm_tensorflow_append_input(s, NAME("input"), 0, sides, 2, SSVM_TENSOR_F32, in, sizeof in);
    ssvm_tensorflow_append_output(s, NAME("output"), 0);
    ssvm_tensorflow_append_output(s, NAME("sum"), 0);
    status = ssvm_tensorflow_run_session(s);
    printf("run: %u\n", (unsigned)status);
    if (status == 0) {
        say(s, "output");
        say(s, "sum");
    }
    ssvm_tensorflow_delete_session(s);
}

int main(void)
{
    static char words[100];
    const char *query = getenv("QUERY_STRING");
    unsigned n = query && *query ? (unsigned)atoi(query) : 1;

    (void)!fread(words, 1, sizeof words - 1, stdin);
    printf("Content-Type: text/plain\n\n");
    while (n-- > 0)
        infer(words);
    return 0;
}

/* A reactor of a few bytes whose _initialize leaves 6 MiB. Built with -nostdlib. */
#define EXPORT(name) __attribute__((export_name(#name)))
#define BYTES (6u << 20)

static unsigned char *bytes;

EXPORT(_initialize) void initialize(void)
{
    bytes = (unsigned char *)(__builtin_wasm_memory_grow(0, BYTES >> 16) << 16);
    for (unsigned i = 0; i < BYTES; i++)
        bytes[i] = (unsigned char)(i % 255 + 1);
}

EXPORT(last) int last(void)
{
    return bytes[BYTES - 1];
}

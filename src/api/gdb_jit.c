/* GDB's JIT interface: a list in memory of files in memory, and a function that the debugger stops
 * at when the list changes. What is in the files is gdb_elf.c's. */
#include <pthread.h>
#include <string.h>

#include "api/gdb.h"

/* Names, order and types are the interface (GDB's manual, "JIT Compilation Interface"). They are
 * the debugger's, and the reason for writable globals here: one list for the process. */
enum { JIT_NOTHING, JIT_REGISTER, JIT_UNREGISTER };
struct jit_code_entry {
    struct jit_code_entry *next, *prev;
    const void *symfile;
    uint64_t symfile_len;
};
struct jit_descriptor {
    uint32_t version, action;
    struct jit_code_entry *relevant, *first;
};
#define FOR_DEBUGGERS __attribute__((visibility("default"), used))
FOR_DEBUGGERS struct jit_descriptor __jit_debug_descriptor = {.version = 1};
FOR_DEBUGGERS __attribute__((noinline)) void __jit_debug_register_code(void);
void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory");
}
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct sv_gdb_image {
    struct jit_code_entry entry;
    struct sv_native *native; /* a reference: the addresses stay its own */
    struct sv_buf elf;
    struct sv_gdb_image *next; /* of the same owner */
};

static void tell(uint32_t action, struct jit_code_entry *entry)
{
    __jit_debug_descriptor.action = action;
    __jit_debug_descriptor.relevant = entry;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = JIT_NOTHING;
    __jit_debug_descriptor.relevant = NULL;
}

own struct sv_gdb_image *sv_gdb_add(const struct sv_module *m, struct sv_native *n,
                                    own struct sv_gdb_image *next)
{
    struct sv_gdb_image *image = sv_alloc_zero(sizeof *image);
    struct jit_code_entry *e;

    if (!image)
        return next;
    if (!sv_gdb_elf(m, n, &image->elf)) {
        sv_buf_release(&image->elf);
        sv_free(image);
        return next;
    }
    image->native = sv_native_ref(n);
    image->next = next;
    e = &image->entry;
    e->symfile = image->elf.data;
    e->symfile_len = image->elf.len;
    pthread_mutex_lock(&lock);
    e->next = __jit_debug_descriptor.first;
    if (e->next)
        e->next->prev = e;
    __jit_debug_descriptor.first = e;
    tell(JIT_REGISTER, e);
    pthread_mutex_unlock(&lock);
    return image;
}

void sv_gdb_remove_all(own struct sv_gdb_image *image)
{
    for (struct sv_gdb_image *next; image; image = next) {
        struct jit_code_entry *e = &image->entry;

        next = image->next;
        pthread_mutex_lock(&lock);
        if (e->next)
            e->next->prev = e->prev;
        if (e->prev)
            e->prev->next = e->next;
        else
            __jit_debug_descriptor.first = e->next;
        tell(JIT_UNREGISTER, e);
        pthread_mutex_unlock(&lock);
        sv_native_unref(image->native);
        sv_buf_release(&image->elf);
        sv_free(image);
    }
}

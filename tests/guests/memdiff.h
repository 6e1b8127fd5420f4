/*
 * What the files of memdiff share; see memdiff.c.
 */
#ifndef MEMDIFF_H
#define MEMDIFF_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096UL
/* The end of user addresses without five-level page tables. */
#define USER_END 0x7ffffffff000UL
#define HUGE_PAGE (2UL << 20)

/* An arena, and the free pages around it that belong to it. */
#define ARENA_PAGES 1024UL
#define MARGIN_PAGES 16UL
#define ARENA_STRIDE (ARENA_PAGES * PAGE + HUGE_PAGE)
/* Free addresses kept above the arenas, so that what the kernel places never lands in a hole of one. */
#define ROOM_ABOVE (256UL << 20)
#define HEAP_PAGES 64UL

#define NR_SLOTS 8
#define NR_SEGMENTS 3
#define NR_AIO 4
#define MAX_WORKERS 8

enum file {
	FILE_RW,
	FILE_RO,
	FILE_WO,
	FILE_MEM,
	FILE_MEM_RO,
	FILE_FUTURE_SEALED,
	FILE_SEALED,
	FILE_SECRET,
	FILE_ZERO,
	FILE_NULL,
	FILE_PIPE,
	FILE_DIR,
	FILE_PATH,
	FILE_HUGE,
	FILE_BAD,
	NR_FILES,
};

/* A mapping whose place was the kernel's choice. */
struct slot {
	uintptr_t addr;
	size_t size; /* 0: none */
};

struct worker {
	unsigned int id;
	uint64_t seed;
	unsigned long ops;
	uintptr_t base; /* of the arena */
	int files[NR_FILES];
	int segments[NR_SEGMENTS];
	struct slot slots[NR_SLOTS];
	unsigned long aio[NR_AIO];
	uint64_t rng; /* of the operation under way */
	unsigned long index; /* of it */
	bool nested; /* inside a child: no children of its own */
	int out;
	size_t used;
	char text[1 << 15];
	char maps[1 << 21];
};

struct shared {
	unsigned int nr_workers;
	unsigned long digest_every;
	bool low2g; /* MAP_32BIT is not asked for without: not every range has such addresses */
	bool is_child; /* of another memdiff, by exec: has no more of them */
	bool huge; /* MAP_HUGETLB: there are no huge pages to be had, or nobody else takes them */
	bool maps_page_zero; /* root may */
	uintptr_t heap; /* the break at the start, page-aligned */
};

extern struct shared shared;
extern __thread sigjmp_buf *memdiff_jump;

/* memdiff.c */
uint64_t draw(struct worker *w);
unsigned long below(struct worker *w, unsigned long n);
bool chance(struct worker *w, unsigned int percent);
void say(struct worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void flush(struct worker *w);
void die(const char *what);
long sys(long nr, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e, unsigned long f);
void operate(struct worker *w, unsigned long index);

/* memdiff-look.c */
/** Print what is mapped in the arena, and in the heap for worker 0. */
void digest(struct worker *w);
/** Read a file of /proc into w->maps. */
void read_maps(struct worker *w, const char *path);
/** "A+3", "H+1.5", "S2", a number... of an address or of a result; in a buffer that holds for eight calls. */
const char *name_of(const struct worker *w, long value);
bool in_window(const struct worker *w, uintptr_t addr);
bool in_heap(uintptr_t addr);
/** Read or write a byte there: 0, or the signal and its code. */
int touch(uintptr_t addr, bool write, int *ret_code);

/* memdiff-calls.c */
struct operation {
	const char *name;
	unsigned int weight;
	bool single; /* concerns the whole process: only with one worker */
	void (*run)(struct worker *w);
};
extern const struct operation operations[];
extern const size_t nr_operations;
/** An address and a length to operate on. */
uintptr_t pick(struct worker *w, size_t *ret_size);
unsigned long pick_prot(struct worker *w);
struct slot *keep(struct worker *w, long addr, size_t size);

/* memdiff-task.c: brk, limits, locks, children */
void op_brk(struct worker *w);
void op_heap_hole(struct worker *w);
void op_limit_as(struct worker *w);
void op_limit_data(struct worker *w);
void op_limit_stack(struct worker *w);
void op_limit_child(struct worker *w);
void print_limits(struct worker *w);
void op_exec(struct worker *w);
void op_limit_memlock(struct worker *w);
void op_mlockall(struct worker *w);
void op_munlockall(struct worker *w);
void op_fork(struct worker *w);
void op_share(struct worker *w);
void op_personality(struct worker *w);
void op_image(struct worker *w);

#endif

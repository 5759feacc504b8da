// Runs the blocks of a launch one after another, and the threads of a block as fibres that switch at barriers, both in
// the order that the launch asks for.
//
// A thread is started only when those before it have ended or wait; one that never waits costs a call. Memory faults
// and the traps of the undefined-behaviour sanitizer end the launch with the block and thread they happened in.
#include "cuda_on_cpu.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace shim {
uint3 thread_index, block_index;
dim3 block_size, grid_size;

namespace {
constexpr size_t stack_bytes = 64 << 10;
constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

struct Fiber {
    void *at; // its stack pointer, or its context, while another runs
    unsigned thread;
    int line;     // of the barrier it waits at; 0 when its threads have ended
    bool in_warp; // whether it waits for its warp only
    unsigned parity;
};

struct Block {
    void *scheduler;
    Fiber *current;
    void (*body)(void *);
    void *argument;
    std::vector<unsigned> order;
    size_t started;
};

constexpr size_t warp = 32, most_threads = 1024;

Block block;
// What threads published, by the parity of the count: the next exchange cannot overtake a slow reader of this one.
unsigned char slots[2][most_threads][8];
std::vector<Fiber *> fibers; // kept from launch to launch
unsigned seed;
sigjmp_buf fault;

#if defined(__x86_64__)
extern "C" void shim_switch(void **from, void *to);
asm(R"(
.text
.globl shim_switch
.type shim_switch,@function
shim_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
.size shim_switch,.-shim_switch
)");
void switch_to(void **from, void *to) {
    shim_switch(from, to);
}

void *prepare(char *stack, void (*entry)()) {
    void **top = (void **)(stack + stack_bytes);
    *--top = nullptr; // where `entry` would return to; keeps its stack aligned
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    return top;
}
#else
ucontext_t scheduler_context;
void switch_to(void **from, void *to) {
    *from = *from ? *from : &scheduler_context;
    swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}

void *prepare(char *stack, void (*entry)()) {
    auto *context = new ucontext_t;
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = stack_bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    return context;
}
#endif

void enter(unsigned thread) {
    thread_index = {thread % block_size.x, thread / block_size.x % block_size.y, thread / block_size.x / block_size.y};
}

void run_threads() {
    for (;;) {
        Fiber *self = block.current;
        while (block.started < block.order.size()) {
            self->thread = block.order[block.started++];
            self->parity = 0;
            enter(self->thread);
            block.body(block.argument);
        }
        self->line = 0;
        self->in_warp = false;
        switch_to(&self->at, block.scheduler);
    }
}

Fiber *new_fiber() {
    void *stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return new Fiber{prepare((char *)stack, run_threads), 0, 0, false, 0};
}

void resume(Fiber *fiber) {
    block.current = fiber;
    enter(fiber->thread);
    switch_to(&block.scheduler, fiber->at);
}

template <class T> void arrange(std::vector<T> &items, unsigned order) {
    if (order == 0 || items.empty()) {
        return;
    }
    for (size_t i = items.size() - 1; i > 0; i--) {
        seed = seed * 1664525u + 1013904223u;
        const size_t j = order == 1 ? items.size() - 1 - i : (seed >> 8) % (i + 1);
        if (order > 1 || j < i) {
            const T kept = items[i];
            items[i] = items[j];
            items[j] = kept;
        }
    }
}

// Runs one warp's exchanges until each of its threads waits for the block or has ended.
Verdict run_warp(Launch *launch, std::vector<Fiber *> lanes) {
    for (;;) {
        size_t in_warp = 0;
        for (Fiber *fiber : lanes) {
            in_warp += fiber->in_warp;
        }
        if (in_warp == 0) {
            return DONE;
        }
        for (Fiber *fiber : lanes) {
            if (!fiber->in_warp || fiber->line != lanes[0]->line) {
                launch->line = fiber->line;
                return fiber->line ? DIVERGED : LEFT;
            }
        }
        arrange(lanes, launch->order);
        for (Fiber *fiber : lanes) {
            resume(fiber);
        }
    }
}

// Runs every warp up to the next barrier of the block, or to its end.
Verdict run_warps(Launch *launch, const std::vector<Fiber *> &waiting) {
    static std::vector<Fiber *> by_thread;
    by_thread.resize(waiting.size());
    bool any = false;
    for (Fiber *fiber : waiting) {
        by_thread[fiber->thread] = fiber;
        any |= fiber->in_warp;
    }
    if (!any) {
        return DONE;
    }
    std::vector<size_t> firsts;
    for (size_t first = 0; first < waiting.size(); first += warp) {
        firsts.push_back(first);
    }
    arrange(firsts, launch->order);
    for (const size_t first : firsts) {
        const size_t last = first + warp < waiting.size() ? first + warp : waiting.size();
        if (const Verdict verdict = run_warp(launch, {by_thread.begin() + first, by_thread.begin() + last})) {
            return verdict;
        }
    }
    return DONE;
}

Verdict run_block(Launch *launch) {
    const size_t threads = (size_t)block_size.x * block_size.y * block_size.z;
    block.order.resize(threads);
    for (size_t i = 0; i < threads; i++) {
        block.order[i] = i;
    }
    arrange(block.order, launch->order);
    block.started = 0;
    std::vector<Fiber *> waiting;
    while (block.started < threads) {
        if (waiting.size() == fibers.size()) {
            fibers.push_back(new_fiber());
        }
        Fiber *fiber = fibers[waiting.size()];
        resume(fiber);
        if (fiber->line) {
            waiting.push_back(fiber);
        }
    }
    while (!waiting.empty()) {
        launch->line = waiting[0]->line;
        if (waiting.size() != threads) {
            return LEFT;
        }
        if (const Verdict verdict = run_warps(launch, waiting)) {
            return verdict;
        }
        size_t ended = 0;
        for (Fiber *fiber : waiting) {
            ended += fiber->line == 0;
            launch->line = fiber->line ? fiber->line : launch->line;
        }
        if (ended) {
            return ended == threads ? DONE : LEFT;
        }
        for (Fiber *fiber : waiting) {
            if (fiber->line != launch->line) {
                return DIVERGED;
            }
        }
        if (launch->order > 1) { // forward and backward stay as they are
            arrange(waiting, launch->order);
        }
        for (Fiber *fiber : waiting) {
            resume(fiber);
        }
    }
    return DONE;
}

void on_fault(int number, siginfo_t *, void *) {
    siglongjmp(fault, number);
}

// The handlers of a launch, and those from before it again at its end.
class Handlers {
  public:
    Handlers() {
        stack_t own = {};
        own.ss_sp = memory_;
        own.ss_size = sizeof memory_;
        sigaltstack(&own, &stack_before_);
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 4; i++) {
            sigaction(signals[i], &action, &before_[i]);
        }
    }
    ~Handlers() {
        for (int i = 0; i < 4; i++) {
            sigaction(signals[i], &before_[i], nullptr);
        }
        sigaltstack(&stack_before_, nullptr);
    }

  private:
    static char memory_[1 << 16];
    stack_t stack_before_ = {};
    struct sigaction before_[4] = {};
};
char Handlers::memory_[1 << 16];

// Denormal numbers are 0 during a launch, as `--ftz=true` has it.
class Flushing {
#if defined(__x86_64__)
  public:
    Flushing() : before_(_mm_getcsr()) { _mm_setcsr(before_ | to_zero | taken_for_zero); }
    ~Flushing() { _mm_setcsr(before_); }

  private:
    static constexpr unsigned to_zero = 1 << 15, taken_for_zero = 1 << 6;
    unsigned before_;
#endif
};

void blame(Launch *launch) {
    const unsigned where[] = {block_index.x,  block_index.y,  block_index.z,
                              thread_index.x, thread_index.y, thread_index.z};
    memcpy(launch->failed_block, where, sizeof launch->failed_block);
    memcpy(launch->failed_thread, where + 3, sizeof launch->failed_thread);
}
} // namespace

void wait(int line, bool in_warp) {
    Fiber *self = block.current;
    self->line = line;
    self->in_warp = in_warp;
    switch_to(&self->at, block.scheduler);
}

void publish(const void *value, size_t bytes, int line) {
    Fiber *self = block.current;
    self->parity ^= 1;
    memcpy(slots[self->parity][self->thread], value, bytes);
    wait(line, true);
}

void fetch(unsigned lane, void *value, size_t bytes) {
    const Fiber *self = block.current;
    memcpy(value, slots[self->parity][self->thread / warp * warp + lane], bytes);
}

unsigned lane() {
    return block.current->thread % warp;
}

int run(Launch *launch, void (*body)(void *), void *argument, char *shared, size_t shared_bytes) {
    Handlers handlers;
    Flushing flushing;
    if (const int number = sigsetjmp(fault, 1)) {
        launch->signal = number;
        blame(launch);
        fibers.clear(); // their stacks are in the middle of something: lost, with the process's last failed test
        return FAULT;
    }
    block.body = body;
    block.argument = argument;
    block_size = {launch->block[0], launch->block[1], launch->block[2]};
    grid_size = {launch->grid[0], launch->grid[1], launch->grid[2]};
    seed = launch->order * 2654435761u;
    std::vector<unsigned> blocks((size_t)grid_size.x * grid_size.y * grid_size.z);
    for (size_t i = 0; i < blocks.size(); i++) {
        blocks[i] = i;
    }
    arrange(blocks, launch->order);
    for (const unsigned i : blocks) {
        block_index = {i % grid_size.x, i / grid_size.x % grid_size.y, i / grid_size.x / grid_size.y};
        memset(shared, 0xFF, shared_bytes); // a float of that is no number, an int is -1
        if (const int verdict = run_block(launch)) {
            blame(launch);
            fibers.clear();
            return verdict;
        }
    }
    return DONE;
}
} // namespace shim

// SPDX-License-Identifier: Apache-2.0
// Plan: see plan.h.
#include "core/place/plan.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

// Of each GPU's memory this part is left alone: allocators round, and frameworks ask for a little more.
#define SPARE_PART 50
// A model of which no times are known counts as the mean of the others, or as this.
#define UNKNOWN_S 0.001

// ---- solving ------------------------------------------------------------------------------------------------------

static void settle_demand(struct plan *plan)
{
    double sum = 0;
    unsigned known = 0;
    for (unsigned i = 0; i < plan->model_count; i++) {
        if (plan->models[i].requests_s >= 0) {
            sum += plan->models[i].requests_s;
            known++;
        }
    }
    plan->in_requests = known > 0 && sum > 0;
    double mean = plan->in_requests ? sum / known : 1;
    for (unsigned i = 0; i < plan->model_count; i++) {
        if (plan->models[i].requests_s < 0 || !plan->in_requests) {
            plan->models[i].requests_s = mean;
        }
    }
}

static void set_memory(const struct plan_model *model, const struct place_record *record,
                       struct place_cost *cost)
{
    if (model->ground == PLAN_LIVE || record == NULL) {
        return;
    }
    double each = (double)record->memory_bytes / record->instances;
    cost->memory_bytes = (uint64_t)(each * model->instances * model->versions);
}

// Times on all GPUs; true when they are known for each that the model may go to.
static bool set_times(const struct plan *plan, const struct plan_model *model,
                      struct place_cost *costs)
{
    bool known = true;
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        const struct place_record *record = model->records[g];
        bool here = record != NULL &&
                    record_cost(record, model->rows, &costs[g].serial_s, &costs[g].busy_s);
        if (here) {
            // It was measured with its own instances together; others of them go side by side.
            costs[g].serial_s *= (double)record->instances / model->instances;
            costs[g].serial_s = fmax(costs[g].serial_s, costs[g].busy_s);
        }
        known = known && (here || ((model->allowed >> g) & 1) == 0);
    }
    return known;
}

static void set_costs(struct plan *plan)
{
    double sum = 0;
    unsigned known = 0;
    for (unsigned i = 0; i < plan->model_count; i++) {
        struct place_cost *costs = &plan->costs[(size_t)i * plan->gpu_count];
        bool timed = set_times(plan, &plan->models[i], costs);
        double most = 0;
        for (unsigned g = 0; g < plan->gpu_count; g++) {
            set_memory(&plan->models[i], plan->models[i].records[g], &costs[g]);
            most = fmax(most, costs[g].busy_s);
        }
        sum += timed ? most : 0;
        known += timed;
    }
    for (unsigned i = 0; i < plan->model_count; i++) {
        struct place_cost *costs = &plan->costs[(size_t)i * plan->gpu_count];
        for (unsigned g = 0; g < plan->gpu_count; g++) {
            if (costs[g].busy_s == 0) {
                costs[g].busy_s = costs[g].serial_s = known > 0 ? sum / known : UNKNOWN_S;
            }
        }
    }
}

// What is left on a GPU once all that is planned there is loaded.
static uint64_t left_on(const struct plan *plan, unsigned gpu)
{
    uint64_t left = plan->rooms[gpu].free_bytes;
    for (unsigned i = 0; i < plan->model_count; i++) {
        bool here = ((plan->answer.on[i] >> gpu) & 1) != 0;
        uint64_t bytes = here ? plan->items[i].costs[gpu].memory_bytes : 0;
        left = bytes < left ? left - bytes : 0;
    }
    return left;
}

// The solver makes no copy that gains nothing on average. But requests come in bursts, and one that stands on a single GPU waits while
// another is idle: copies take that up, and where memory is plenty they cost nothing. So each model that was placed gets one on
// each GPU that stays half empty with it.
static struct nrd_status *spread(struct plan *plan)
{
    for (unsigned i = 0; i < plan->model_count; i++) {
        for (unsigned g = 0; g < plan->gpu_count; g++) {
            uint64_t here = UINT64_C(1) << g;
            bool may = plan->models[i].ground == PLAN_OPEN && plan->answer.on[i] != 0 &&
                       (plan->models[i].allowed & ~plan->answer.on[i] & here) != 0;
            uint64_t bytes = plan->items[i].costs[g].memory_bytes + plan->gpus[g].total_bytes / 2;
            if (may && left_on(plan, g) >= bytes) {
                plan->answer.on[i] |= here;
                plan->spare[i] |= here;
            }
        }
    }
    // Shares and loads stay those of the average.
    double level = plan->answer.rating.level;
    struct nrd_status *status =
        place_rate(&plan->problem, plan->answer.on, &plan->answer.rating, NULL, NULL);
    plan->answer.rating.level = level;
    return status;
}

struct nrd_status *plan_solve(struct plan *plan)
{
    plan->spare = mem_calloc(plan->model_count + 1, sizeof(*plan->spare));
    plan->items = mem_calloc(plan->model_count + 1, sizeof(*plan->items));
    plan->costs = mem_calloc((size_t)plan->model_count * plan->gpu_count + 1, sizeof(*plan->costs));
    plan->rooms = mem_calloc(plan->gpu_count, sizeof(*plan->rooms));
    if (plan->spare == NULL || plan->items == NULL || plan->costs == NULL || plan->rooms == NULL) {
        return status_no_memory();
    }
    settle_demand(plan);
    set_costs(plan);
    for (unsigned i = 0; i < plan->model_count; i++) {
        const struct plan_model *model = &plan->models[i];
        plan->items[i] = (struct place_item){.demand = model->requests_s,
                                             .allowed = model->allowed,
                                             .fixed = model->ground != PLAN_OPEN,
                                             .costs = &plan->costs[(size_t)i * plan->gpu_count]};
    }
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        uint64_t spare = plan->gpus[g].total_bytes / SPARE_PART;
        uint64_t left = plan->gpus[g].free_bytes;
        plan->rooms[g] = (struct place_gpu){.free_bytes = left > spare ? left - spare : 0,
                                            .busy = plan->in_requests ? plan->gpus[g].busy : 0,
                                            .total_bytes = plan->gpus[g].total_bytes};
    }
    plan->problem = (struct place_problem){.gpus = plan->rooms,
                                           .gpu_count = plan->gpu_count,
                                           .items = plan->items,
                                           .item_count = plan->model_count};
    NRD_TRY(place_solve(&plan->problem, PLACE_EFFORT, &plan->answer));
    return spread(plan);
}

void plan_fini(struct plan *plan)
{
    place_answer_fini(&plan->answer);
    mem_free(plan->spare);
    mem_free(plan->items);
    plan->spare = NULL;
    mem_free(plan->costs);
    mem_free(plan->rooms);
    plan->items = NULL;
    plan->costs = NULL;
    plan->rooms = NULL;
}

// ---- words --------------------------------------------------------------------------------------------------------

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static const struct place_cost *cost_of(const struct plan *plan, unsigned model, unsigned gpu)
{
    return &plan->costs[(size_t)model * plan->gpu_count + gpu];
}

static bool is_timed(const struct plan *plan, unsigned model)
{
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        const struct place_record *record = plan->models[model].records[g];
        if (record != NULL && record->point_count > 0) {
            return true;
        }
    }
    return false;
}

static const char *why_untimed(const struct plan *plan, unsigned model)
{
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        const struct place_record *record = plan->models[model].records[g];
        if (record != NULL && record->point_count == 0) {
            return record->untimed;
        }
    }
    return "";
}

// "38 % of its requests, 2.31 ms each, 812 MiB" on one GPU.
static void describe_part(const struct plan *plan, unsigned model, unsigned gpu, struct str *out)
{
    const struct place_cost *cost = cost_of(plan, model, gpu);
    double share = plan->answer.shares[(size_t)model * plan->gpu_count + gpu];
    if (((plan->spare[model] >> gpu) & 1) != 0) {
        str_printf(out, "GPU %d (a copy for bursts, %.0f MiB)", (int)plan->gpus[gpu].id,
                   mib(cost->memory_bytes));
        return;
    }
    str_printf(out, "GPU %d (%.0f %% of its requests, %.3f ms of the GPU each",
               (int)plan->gpus[gpu].id, 100 * share, 1000 * cost->busy_s);
    if (cost->serial_s > 1.02 * cost->busy_s) {
        str_printf(out, ", %.3f ms with %u instance%s", 1000 * cost->serial_s,
                   plan->models[model].instances, plan->models[model].instances == 1 ? "" : "s");
    }
    if (plan->models[model].ground != PLAN_LIVE) {
        str_printf(out, ", %.0f MiB", mib(cost->memory_bytes));
    }
    str_append_char(out, ')');
}

void plan_describe(const struct plan *plan, unsigned model, struct str *out)
{
    const struct plan_model *m = &plan->models[model];
    uint64_t set = plan->answer.on[model];
    if (set == 0) {
        uint64_t least = UINT64_MAX;
        if (m->allowed == 0) {
            str_printf(out, "model '%s' has no place: %s", m->name, m->refusal);
            return;
        }
        for (unsigned g = 0; g < plan->gpu_count; g++) {
            uint64_t bytes = cost_of(plan, model, g)->memory_bytes;
            least = bytes < least ? bytes : least;
        }
        str_printf(out, "model '%s' has no place: it needs %.0f MiB of a GPU", m->name, mib(least));
        return;
    }
    static const char *const verbs[] = {"goes to", "stays on", "is served on"};
    str_printf(out, "model '%s' %s ", m->name, verbs[m->ground]);
    const char *separator = "";
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        if (((set >> g) & 1) != 0) {
            str_append_cstr(out, separator);
            describe_part(plan, model, g, out);
            separator = " and ";
        }
    }
    if (!is_timed(plan, model)) {
        str_printf(out, "; its times are not known%s%s", why_untimed(plan, model)[0] ? ": " : "",
                   why_untimed(plan, model));
    }
}

// ---- alternatives -------------------------------------------------------------------------------------------------

bool plan_next_set(const struct plan *plan, unsigned model, uint64_t *set)
{
    uint64_t all = plan->models[model].allowed;
    if (plan->models[model].ground != PLAN_OPEN) {
        return false;
    }
    for (;;) {
        if (__builtin_popcountll(all) <= 3) {
            *set = (*set - all) & all; // each set in turn
        } else if (*set == all) {
            *set = 0;
        } else {
            uint64_t above = *set == 0 ? all : all & ~(*set | (*set - 1)); // single ones, then all
            *set = above == 0 ? all : above & -above;
        }
        if (*set == 0) {
            return false;
        }
        if (*set != plan->answer.on[model]) {
            return true;
        }
    }
}

// The GPU whose memory does not hold `set`; gpu_count if all do.
static unsigned short_gpu(const struct plan *plan, const uint64_t *on, uint64_t *left_bytes)
{
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        uint64_t left = plan->rooms[g].free_bytes;
        bool over = false;
        for (unsigned i = 0; i < plan->model_count; i++) {
            uint64_t bytes = ((on[i] >> g) & 1) != 0 ? cost_of(plan, i, g)->memory_bytes : 0;
            over = over || bytes > left;
            left = bytes < left ? left - bytes : 0;
        }
        if (over) {
            *left_bytes = left;
            return g;
        }
    }
    return plan->gpu_count;
}

// What holds the level: a GPU, or a model's own instances.
static void write_limit(const struct plan *plan, const uint64_t *on, const double *shares,
                        const double *load, double level, struct str *why)
{
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        if (load[g] >= level * 0.999) {
            str_printf(why, "GPU %d is the limit", (int)plan->gpus[g].id);
            return;
        }
    }
    for (unsigned i = 0; i < plan->model_count; i++) {
        for (unsigned g = 0; g < plan->gpu_count; g++) {
            double pace = shares[(size_t)i * plan->gpu_count + g] * plan->items[i].demand *
                          cost_of(plan, i, g)->serial_s;
            if (((on[i] >> g) & 1) != 0 && pace >= level * 0.999) {
                str_printf(why, "the instances of '%s' on GPU %d are the limit",
                           plan->models[i].name, (int)plan->gpus[g].id);
                return;
            }
        }
    }
}

static void write_why(const struct plan *plan, const struct place_rating *rating, unsigned model,
                      uint64_t set, const uint64_t *on, const double *shares, const double *load,
                      struct str *why)
{
    uint64_t left = 0;
    unsigned full = rating->fits ? plan->gpu_count : short_gpu(plan, on, &left);
    double throughput = rating->level > 0 ? plan->answer.rating.level / rating->level : 1;
    if (!rating->fits && full < plan->gpu_count) {
        str_printf(why, "GPU %d has no room for it: it needs %.0f MiB", (int)plan->gpus[full].id,
                   mib(cost_of(plan, model, full)->memory_bytes));
    } else if (!rating->fits) {
        str_append_cstr(why, "there is no room for it");
    } else if (rating->instances > plan->answer.rating.instances && throughput > 0.995) {
        unsigned more = rating->instances - plan->answer.rating.instances;
        str_printf(why, "%u more cop%s that gain%s %s", more, more == 1 ? "y" : "ies",
                   more == 1 ? "s" : "", throughput > 1.0005 ? "too little" : "nothing");
        if (throughput > 1.0005) {
            str_printf(why, " (%.1f %%)", 100 * (throughput - 1));
        }
    } else if (throughput < 0.9995) {
        write_limit(plan, on, shares, load, rating->level, why);
    } else if (rating->instances < plan->answer.rating.instances) {
        str_append_cstr(why, "as good on average, with less for bursts");
    } else {
        str_append_cstr(why,
                        __builtin_popcountll(set) == __builtin_popcountll(plan->answer.on[model])
                            ? "as good; memory would be less even, or GPUs are alike"
                            : "as good");
    }
}

struct nrd_status *plan_alternative(const struct plan *plan, unsigned model, uint64_t set,
                                    struct plan_verdict *verdict, struct str *why)
{
    size_t cells = (size_t)plan->model_count * plan->gpu_count;
    uint64_t *on = mem_calloc(plan->model_count + 1, sizeof(*on));
    double *shares = mem_calloc(cells + plan->gpu_count + 1, sizeof(*shares));
    struct nrd_status *status = on == NULL || shares == NULL ? status_no_memory() : NULL;
    if (status == NULL) {
        struct place_rating rating;
        double *load = shares + cells;
        memcpy(on, plan->answer.on, plan->model_count * sizeof(*on));
        on[model] = set;
        status = place_rate(&plan->problem, on, &rating, shares, load);
        if (status == NULL) {
            write_why(plan, &rating, model, set, on, shares, load, why);
            *verdict = (struct plan_verdict){
                .throughput = rating.level > 0 ? plan->answer.rating.level / rating.level : 1,
                .fits = rating.fits,
                .instances = rating.instances};
        }
    }
    mem_free(on);
    mem_free(shares);
    return status;
}

// ---- JSON ---------------------------------------------------------------------------------------------------------

static void write_set(struct json_writer *w, const struct plan *plan, uint64_t set)
{
    json_array_begin(w);
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        if (((set >> g) & 1) != 0) {
            json_i64(w, plan->gpus[g].id);
        }
    }
    json_array_end(w);
}

static void write_parts(struct json_writer *w, const struct plan *plan, unsigned model)
{
    json_key(w, "placed");
    json_array_begin(w);
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        if (((plan->answer.on[model] >> g) & 1) == 0) {
            continue;
        }
        const struct place_cost *cost = cost_of(plan, model, g);
        double share = plan->answer.shares[(size_t)model * plan->gpu_count + g];
        double level = plan->in_requests ? 1 : plan->answer.rating.level;
        json_object_begin(w);
        json_key(w, "gpu");
        json_i64(w, plan->gpus[g].id);
        json_key(w, "instances");
        json_u64(w, plan->models[model].instances);
        json_key(w, "memory_bytes");
        json_u64(w, cost->memory_bytes);
        json_key(w, "ms_per_request");
        json_f64(w, cost->busy_s * 1000);
        json_key(w, "ms_between_answers");
        json_f64(w, cost->serial_s * 1000);
        json_key(w, "for_bursts");
        json_bool(w, ((plan->spare[model] >> g) & 1) != 0);
        json_key(w, "share");
        json_f64(w, share);
        json_key(w, "utilisation");
        json_f64(w, level > 0 ? share * plan->items[model].demand * cost->busy_s / level : 0);
        json_object_end(w);
    }
    json_array_end(w);
}

static struct nrd_status *write_alternatives(struct json_writer *w, const struct plan *plan,
                                             unsigned model)
{
    json_key(w, "alternatives");
    json_array_begin(w);
    for (uint64_t set = 0; plan_next_set(plan, model, &set);) {
        struct plan_verdict verdict;
        struct str why = STR_INIT;
        struct nrd_status *status = plan_alternative(plan, model, set, &verdict, &why);
        if (status != NULL) {
            str_fini(&why);
            return status;
        }
        json_object_begin(w);
        json_key(w, "gpus");
        write_set(w, plan, set);
        json_key(w, "throughput");
        json_f64(w, verdict.throughput);
        json_key(w, "fits");
        json_bool(w, verdict.fits);
        json_key(w, "why");
        json_string(w, str_slice(&why));
        json_object_end(w);
        str_fini(&why);
    }
    json_array_end(w);
    return NULL;
}

static void write_points(struct json_writer *w, const struct plan *plan, unsigned model)
{
    json_key(w, "measured");
    json_array_begin(w);
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        const struct place_record *record = plan->models[model].records[g];
        bool written = false;
        for (unsigned h = 0; h < g; h++) {
            written = written || plan->models[model].records[h] == record;
        }
        if (record == NULL || written) {
            continue;
        }
        struct str text = STR_INIT;
        record_write(record, plan->models[model].name, plan->gpus[g].name, &text);
        text.len -= text.len > 0 ? 1 : 0; // the line's end
        json_raw(w, str_slice(&text));
        str_fini(&text);
    }
    json_array_end(w);
}

static struct nrd_status *write_model(struct json_writer *w, const struct plan *plan,
                                      unsigned model)
{
    static const char *const grounds[] = {"open", "fixed", "live"};
    const struct plan_model *m = &plan->models[model];
    struct str words = STR_INIT;
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, m->name);
    json_key(w, "directory");
    json_cstring(w, m->directory);
    json_key(w, "ground");
    json_cstring(w, grounds[m->ground]);
    json_key(w, "own_groups");
    json_bool(w, m->own_groups);
    json_key(w, "requests_s");
    json_f64(w, m->requests_s);
    json_key(w, "rows");
    json_u64(w, m->rows);
    json_key(w, "gpus");
    write_set(w, plan, plan->answer.on[model]);
    write_parts(w, plan, model);
    plan_describe(plan, model, &words);
    json_key(w, "why");
    json_string(w, str_slice(&words));
    str_fini(&words);
    NRD_TRY(write_alternatives(w, plan, model));
    write_points(w, plan, model);
    json_object_end(w);
    return NULL;
}

static void write_gpu(struct json_writer *w, const struct plan *plan, unsigned gpu)
{
    double level = plan->in_requests ? 1 : plan->answer.rating.level;
    uint64_t planned = 0;
    for (unsigned i = 0; i < plan->model_count; i++) {
        planned += ((plan->answer.on[i] >> gpu) & 1) != 0 ? cost_of(plan, i, gpu)->memory_bytes : 0;
    }
    json_object_begin(w);
    json_key(w, "id");
    json_i64(w, plan->gpus[gpu].id);
    json_key(w, "name");
    json_cstring(w, plan->gpus[gpu].name);
    json_key(w, "total_bytes");
    json_u64(w, plan->gpus[gpu].total_bytes);
    json_key(w, "free_bytes");
    json_u64(w, plan->gpus[gpu].free_bytes);
    json_key(w, "planned_bytes");
    json_u64(w, planned);
    json_key(w, "utilisation");
    json_f64(w, level > 0 ? plan->answer.load[gpu] / level : 0);
    json_object_end(w);
}

struct nrd_status *plan_json(const struct plan *plan, struct str *out)
{
    const struct place_rating *rating = &plan->answer.rating;
    struct json_writer w;
    json_begin(&w, out);
    json_object_begin(&w);
    json_key(&w, "schema");
    json_u64(&w, 1);
    json_key(&w, "demand");
    json_cstring(&w, plan->in_requests ? "requests/s" : "equal");
    // Of the demand, what can be served for ever; where only proportions are meant, requests a second of a model with weight one.
    json_key(&w, "sustains");
    json_f64(&w, rating->level > 0 ? 1 / rating->level : 0);
    json_key(&w, "exact");
    json_bool(&w, plan->answer.exact);
    json_key(&w, "unplaced");
    json_u64(&w, rating->unplaced);
    json_key(&w, "gpus");
    json_array_begin(&w);
    for (unsigned g = 0; g < plan->gpu_count; g++) {
        write_gpu(&w, plan, g);
    }
    json_array_end(&w);
    json_key(&w, "models");
    json_array_begin(&w);
    for (unsigned i = 0; i < plan->model_count; i++) {
        NRD_TRY(write_model(&w, plan, i));
    }
    json_array_end(&w);
    json_object_end(&w);
    return str_status(out);
}

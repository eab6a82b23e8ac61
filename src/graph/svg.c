// SPDX-License-Identifier: Apache-2.0
// A graph as a drawing: a box an operator with its class, its conditions and its ports by name; lines for flows, dashed where they
// close a cycle, with what their queues say that is not usual. svg_layout.c finds the places. Self-contained SVG, no scripts.
// Start at nrd_app_write_svg().
#include <stdio.h>

#include "base/file.h"
#include "graph/condition.h"
#include "graph/graph_private.h"
#include "graph/svg_layout.h"

enum {
    MARGIN = 24,
    TITLE = 36, // above everything: the application's name
    HEAD = 44,  // of a box: name and class
    ROW = 18,   // a port, a condition
    FOOT = 8,
    BELOW = 22, // between lines of cycles, below the boxes
};
static const double LETTER = 6.7; // of 12 pixels, on average
static const char *const tints[] = {"#dbe9f6", "#e4f1de", "#fbe8d3",
                                    "#eadff2", "#f7dde2", "#dff1f0"};
enum { TINT_COUNT = sizeof(tints) / sizeof(tints[0]) };

struct drawing {
    struct nrd_app *app;
    struct arena arena;
    struct layout layout;
    struct nrd_operator **operators; // of each node
    struct graph_flow **flows;       // of each edge
    struct str out;
};

// ---- what there is --------------------------------------------------------------------------------------------------

static size_t shown_ports(const struct graph_list *ports)
{
    size_t count = 0;
    for (uint32_t i = 0; i < ports->count; i++) {
        const struct graph_port *port = ports->items[i];
        count += !port->is_exec || port->flows.count > 0;
    }
    return count;
}

static bool is_shown(const struct nrd_operator *op)
{
    return op != op->fragment->start || shown_ports(&op->outputs) > 0;
}

static size_t widest(const struct graph_list *ports)
{
    size_t width = 0;
    for (uint32_t i = 0; i < ports->count; i++) {
        const struct graph_port *port = ports->items[i];
        size_t length = port->is_exec ? 0 : strlen(port->table.name);
        width = length > width ? length : width;
    }
    return width;
}

// Its type, but for those of the caller's, which only have a name.
static const char *condition_title(const struct nrd_condition *condition)
{
    return condition->type->looks_at_all ? condition->name : condition->type->name;
}

static void measure(const struct nrd_operator *op, struct layout_node *node)
{
    size_t inputs = shown_ports(&op->inputs);
    size_t outputs = shown_ports(&op->outputs);
    size_t name = strlen(op->name) + 1; // it is bold
    size_t letters = strlen(op->class->name) > name ? strlen(op->class->name) : name;
    size_t ports = widest(&op->inputs) + widest(&op->outputs) + 5;
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        const struct nrd_condition *condition = op->conditions.items[i];
        size_t length = strlen(condition_title(condition)) + 2;
        letters = length > letters ? length : letters;
    }
    letters = ports > letters ? ports : letters;
    size_t rows = (inputs > outputs ? inputs : outputs) + op->conditions.count;
    node->width = (double)letters * LETTER + 24;
    node->height = (double)(HEAD + rows * ROW + FOOT);
}

static size_t node_of(const struct drawing *d, const struct nrd_operator *op)
{
    size_t i = 0;
    while (i < d->layout.node_count && d->operators[i] != op) {
        i++;
    }
    return i;
}

// The nodes of all fragments, and a first count of the edges.
static struct nrd_status *collect_nodes(struct drawing *d, size_t *flows)
{
    size_t count = 0;
    for (uint32_t i = 0; i < d->app->fragments.count; i++) {
        const struct nrd_fragment *f = d->app->fragments.items[i];
        count += f->operators.count;
    }
    d->operators = arena_calloc(&d->arena, count + 1, sizeof(struct nrd_operator *));
    d->layout.nodes = arena_calloc(&d->arena, count + 1, sizeof(*d->layout.nodes));
    if (d->operators == NULL || d->layout.nodes == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 0; i < d->app->fragments.count; i++) {
        const struct nrd_fragment *f = d->app->fragments.items[i];
        for (uint32_t j = 0; j < f->operators.count; j++) {
            struct nrd_operator *op = f->operators.items[j];
            if (!is_shown(op)) {
                continue;
            }
            measure(op, &d->layout.nodes[d->layout.node_count]);
            d->operators[d->layout.node_count++] = op;
            for (uint32_t p = 0; p < op->outputs.count; p++) {
                *flows += ((const struct graph_port *)op->outputs.items[p])->flows.count;
            }
        }
    }
    return NULL;
}

static struct nrd_status *collect(struct drawing *d)
{
    size_t flows = 0;
    NRD_TRY(collect_nodes(d, &flows));
    d->flows = arena_calloc(&d->arena, flows + 1, sizeof(struct graph_flow *));
    d->layout.edges = arena_calloc(&d->arena, flows + 1, sizeof(*d->layout.edges));
    if (d->flows == NULL || d->layout.edges == NULL) {
        return status_no_memory();
    }
    for (size_t n = 0; n < d->layout.node_count; n++) {
        const struct graph_list *outputs = &d->operators[n]->outputs;
        for (uint32_t p = 0; p < outputs->count; p++) {
            const struct graph_port *port = outputs->items[p];
            for (uint32_t i = 0; i < port->flows.count; i++) {
                struct graph_flow *flow = port->flows.items[i];
                d->flows[d->layout.edge_count] = flow;
                d->layout.edges[d->layout.edge_count++] =
                    (struct layout_edge){.from = n, .to = node_of(d, flow->to->op)};
            }
        }
    }
    return layout_run(&d->layout, &d->arena);
}

// ---- pieces of SVG --------------------------------------------------------------------------------------------------

static void put_escaped(struct str *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            str_append_cstr(out, "&amp;");
            break;
        case '<':
            str_append_cstr(out, "&lt;");
            break;
        case '>':
            str_append_cstr(out, "&gt;");
            break;
        case '"':
            str_append_cstr(out, "&quot;");
            break;
        default:
            if ((unsigned char)*text >= 0x20) {
                str_append_char(out, *text);
            }
        }
    }
}

static void put_text(struct drawing *d, double x, double y, const char *class, const char *text)
{
    str_printf(&d->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    put_escaped(&d->out, text);
    str_append_cstr(&d->out, "</text>\n");
}

// Where a port is on its box's edge.
static struct layout_point port_place(const struct drawing *d, size_t node,
                                      const struct graph_port *port)
{
    const struct layout_node *box = &d->layout.nodes[node];
    const struct graph_list *ports = port->is_output ? &port->op->outputs : &port->op->inputs;
    size_t row = 0;
    for (uint32_t i = 0; i < ports->count && ports->items[i] != port; i++) {
        const struct graph_port *other = ports->items[i];
        row += !other->is_exec || other->flows.count > 0;
    }
    return (struct layout_point){box->x + (port->is_output ? box->width : 0),
                                 box->y + HEAD + (double)row * ROW + ROW / 2.0};
}

static void draw_port(struct drawing *d, size_t node, const struct graph_port *port)
{
    struct layout_point at = port_place(d, node, port);
    bool open = port->flows.count == 0;
    if (port->is_exec && open) {
        return;
    }
    str_printf(&d->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" class=\"%s\"/>\n", at.x, at.y,
               open ? "open" : "port");
    if (!port->is_exec) {
        put_text(d, at.x + (port->is_output ? -10 : 10), at.y + 4,
                 port->is_output ? "label end" : "label", port->table.name);
    }
}

static void draw_box(struct drawing *d, size_t node)
{
    const struct layout_node *box = &d->layout.nodes[node];
    const struct nrd_operator *op = d->operators[node];
    const char *tint = tints[op->fragment->index % TINT_COUNT];
    str_printf(&d->out,
               "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"6\" "
               "class=\"box\"/>\n<path d=\"M%.1f %.1fv%.1fq0 -6 6 -6h%.1fq6 0 6 6v%.1fz\" "
               "fill=\"%s\"/>\n",
               box->x, box->y, box->width, box->height, box->x, box->y + 40, -34.0, box->width - 12,
               34.0, tint);
    put_text(d, box->x + 10, box->y + 17, "name", op->name);
    put_text(d, box->x + 10, box->y + 33, "class", op->class->name);
    size_t inputs = shown_ports(&op->inputs);
    size_t outputs = shown_ports(&op->outputs);
    double y = box->y + HEAD + (double)(inputs > outputs ? inputs : outputs) * ROW;
    for (uint32_t i = 0; i < op->conditions.count; i++, y += ROW) {
        const struct nrd_condition *condition = op->conditions.items[i];
        put_text(d, box->x + 10, y + ROW / 2.0 + 4, "condition", condition_title(condition));
    }
    for (uint32_t i = 0; i < op->inputs.count; i++) {
        draw_port(d, node, op->inputs.items[i]);
    }
    for (uint32_t i = 0; i < op->outputs.count; i++) {
        draw_port(d, node, op->outputs.items[i]);
    }
}

// What a flow's queue says that its port does not: "4, pop", "latest".
static void describe_flow(const struct graph_flow *flow, char *text, size_t size)
{
    static const char *const policies[] = {"pop", "reject", "fault"};
    int length = 0;
    text[0] = '\0';
    if (flow->options.latest) {
        snprintf(text, size, "latest");
        return;
    }
    if (flow->options.capacity > 0) {
        length = snprintf(text, size, "%u", flow->options.capacity);
    }
    if (flow->options.policy >= 0 && flow->options.policy <= 2 && length >= 0) {
        snprintf(text + length, size - (size_t)length, "%s%s", length > 0 ? ", " : "",
                 policies[flow->options.policy]);
    }
}

static void curve(struct drawing *d, struct layout_point a, struct layout_point b)
{
    double bend = (b.x - a.x) / 2;
    bend = bend < 20 ? 20 : bend;
    str_printf(&d->out, "C%.1f %.1f %.1f %.1f %.1f %.1f", a.x + bend, a.y, b.x - bend, b.y, b.x,
               b.y);
}

static void draw_edge(struct drawing *d, size_t index, size_t *cycles)
{
    const struct layout_edge *e = &d->layout.edges[index];
    const struct graph_flow *flow = d->flows[index];
    struct layout_point at = port_place(d, e->from, flow->from);
    struct layout_point to = port_place(d, e->to, flow->to);
    char text[64];
    double bottom = d->layout.height + (double)((*cycles + 1) * BELOW);
    struct layout_point middle = {(at.x + to.x) / 2, (at.y + to.y) / 2};
    str_printf(&d->out, "<path class=\"%s\" d=\"M%.1f %.1f", e->back ? "flow back" : "flow", at.x,
               at.y);
    if (e->back) {
        str_printf(&d->out, "h18V%.1fH%.1fV%.1fh12", bottom, to.x - 18, to.y);
        middle.y = bottom;
        ++*cycles;
    } else {
        struct layout_point last = at;
        for (size_t i = 0; i < e->via_count; i += 2) {
            curve(d, last, e->via[i]);
            last = e->via[i + 1];
            str_printf(&d->out, "L%.1f %.1f", last.x, last.y);
        }
        curve(d, last, (struct layout_point){to.x - 6, to.y});
        if (e->via_count > 0) { // where it is straight
            middle = (struct layout_point){(e->via[0].x + e->via[1].x) / 2, e->via[0].y};
        }
    }
    str_append_cstr(&d->out, "\" marker-end=\"url(#tip)\"/>\n");
    describe_flow(flow, text, sizeof text);
    if (text[0] != '\0') {
        put_text(d, middle.x, middle.y - 5, "queue", text);
    }
}

static size_t count_cycles(const struct layout *l)
{
    size_t count = 0;
    for (size_t i = 0; i < l->edge_count; i++) {
        count += l->edges[i].back;
    }
    return count;
}

// Which tint is which fragment, below the title.
static void draw_legend(struct drawing *d)
{
    double x = 0;
    for (uint32_t i = 0; d->app->fragments.count > 1 && i < d->app->fragments.count; i++) {
        const struct nrd_fragment *f = d->app->fragments.items[i];
        if (f->operators.count == 0) {
            continue;
        }
        const char *name = f->name == NULL || f->name[0] == '\0' ? "(first)" : f->name;
        str_printf(&d->out, "<rect x=\"%.1f\" y=\"-12\" width=\"10\" height=\"10\" fill=\"%s\"/>\n",
                   x, tints[f->index % TINT_COUNT]);
        put_text(d, x + 14, -3, "class", name);
        x += (double)strlen(name) * LETTER + 36;
    }
}

static void draw(struct drawing *d)
{
    size_t cycles = 0;
    double title = (double)(strlen(d->app->name) + 2) * 9;
    double width = d->layout.width > title ? d->layout.width : title;
    double legend = d->app->fragments.count > 1 ? 18 : 0;
    double top = MARGIN + TITLE + legend;
    double height = d->layout.height + top + MARGIN + (double)(count_cycles(&d->layout) * BELOW);
    str_printf(&d->out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
               "viewBox=\"0 0 %.0f %.0f\">\n",
               width + 2 * MARGIN + 24, height, width + 2 * MARGIN + 24, height);
    str_append_cstr(
        &d->out,
        "<style>\n"
        "text { font: 12px sans-serif; fill: #1f2933; }\n"
        ".title { font: bold 18px sans-serif; }\n"
        ".name { font-weight: bold; }\n"
        ".class, .label { font-size: 11px; fill: #52606d; }\n"
        ".condition { font-size: 11px; font-style: italic; fill: #7b5e00; }\n"
        ".end { text-anchor: end; }\n"
        ".queue { font-size: 10px; fill: #8a3b12; text-anchor: middle; "
        "paint-order: stroke; stroke: #fafbfc; stroke-width: 3px; }\n"
        ".box { fill: #ffffff; stroke: #9aa5b1; }\n"
        ".port { fill: #334e68; }\n"
        ".open { fill: #ffffff; stroke: #9aa5b1; }\n"
        ".flow { fill: none; stroke: #486581; stroke-width: 1.5; }\n"
        ".back { stroke-dasharray: 5 4; stroke-linejoin: round; }\n"
        "</style>\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#486581\"/>"
        "</marker></defs>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fafbfc\"/>\n");
    put_text(d, MARGIN, MARGIN + 14, "title", d->app->name);
    str_printf(&d->out, "<g transform=\"translate(%d %.0f)\">\n", MARGIN + 12, top);
    draw_legend(d);
    for (size_t i = 0; i < d->layout.edge_count; i++) {
        draw_edge(d, i, &cycles);
    }
    for (size_t i = 0; i < d->layout.node_count; i++) {
        draw_box(d, i);
    }
    str_append_cstr(&d->out, "</g>\n</svg>\n");
}

struct nrd_status *nrd_app_write_svg(struct nrd_app *app, const char *path)
{
    struct drawing d = {.app = app};
    arena_init(&d.arena, 0);
    struct nrd_status *status = collect(&d);
    if (status == NULL) {
        draw(&d);
        status = str_status(&d.out);
    }
    if (status == NULL) {
        status = file_write(path, str_slice(&d.out));
    }
    str_fini(&d.out);
    arena_fini(&d.arena);
    return status;
}

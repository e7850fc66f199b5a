use minilm::{LoadOptions, SentenceTransformer, TraceStep, TraceValues};

use super::*;

#[test]
fn texts_are_spread_over_all_sentences() {
    let sentences = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(spread(&sentences, 1), ["a"]);
    assert_eq!(spread(&sentences, 2), ["a", "d"]);
    assert_eq!(spread(&sentences, 3), ["a", "c", "e"]);
    assert_eq!(spread(&sentences, 6), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(spread(&sentences, 7), sentences);
    assert_eq!(spread(&sentences, usize::MAX), sentences);
}

#[test]
fn a_table_of_layers_and_steps() {
    let step = |place: usize, own, loss_alone| Step {
        layer: place / STEPS.len(),
        step: STEPS[place % STEPS.len()].0,
        own,
        accumulated: 2.0 * own,
        loss_alone,
    };
    let mut steps: Vec<Step> = (0..2 * STEPS.len()).map(|place| step(place, 0.0, 0.0)).collect();
    steps[0] = step(0, 0.012_345_6, 1.5e-6);
    steps[8] = step(8, 0.000_002, 2e-6);
    steps[14] = step(14, f64::INFINITY, 0.25);
    let report = Report {
        model: "some/model".to_owned(),
        isa: "avx2",
        precision: "int8",
        split: Some("dev".to_owned()),
        texts: 64,
        tokens: 604,
        steps,
        pooled: 0.03,
        cosine: Agreement { mean: 0.998_765_43, p1: 0.995, min: 0.99 },
        loss: 0.001_234_57,
    };
    let mut text = Vec::new();
    report.print(&mut text).unwrap();
    let expected = "\
        model            some/model\n\
        instruction set  avx2\n\
        precision        int8\n\
        texts            64 of the split \"dev\", 604 tokens\n\
        cosine to f32    mean 0.9987654, p1 0.9950000, min 0.9900000\n\
        \n\
        layer   step                 own error  accumulated  loss alone\n\
        0       query, key, value     1.2346 %     2.4691 %     1.50e-6\n\
        0       attention                    0            0           0\n\
        0       attention output             0            0           0\n\
        0       LayerNorm                    0            0           0\n\
        0       intermediate                 0            0           0\n\
        0       activation                   0            0           0\n\
        0       output                       0            0           0\n\
        0       LayerNorm                    0            0           0\n\
        1       query, key, value     0.0002 %     0.0004 %     2.00e-6\n\
        1       attention                    0            0           0\n\
        1       attention output             0            0           0\n\
        1       LayerNorm                    0            0           0\n\
        1       intermediate                 0            0           0\n\
        1       activation                   0            0           0\n\
        1       output                   inf %        inf %     2.50e-1\n\
        1       LayerNorm                    0            0           0\n\
        all     query, key, value                               3.50e-6\n\
        all     output                                          2.50e-1\n\
        all     sum                                             2.50e-1\n\
        \x20       vector                             3.0000 %     1.23e-3\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

/// One step in the middle, from nothing but the tensor that goes into it and the one that comes out.
#[test]
fn the_errors_of_a_step_are_those_of_two_passes_made_by_hand() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    let [model, in_f32] = [Precision::Int8, Precision::F32].map(|precision| {
        let options = LoadOptions::default().threads(1).precision(precision);
        SentenceTransformer::load_with(folder, &options).unwrap()
    });
    let text = "One step in the middle";
    let errors = Passes::of(&model, &in_f32).run(&[text], None).unwrap().remove(0);

    let (input, name) = ("layer.1.intermediate.activation", "layer.1.output.dense");
    let place = STEPS.len() + STEPS.iter().position(|(step, _)| name.ends_with(step)).unwrap();
    let values = |step: &TraceStep<'_>| match step.values {
        TraceValues::F32(values) => values.to_vec(),
        _ => Vec::new(),
    };
    let (mut of_input, mut expected, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let (vector_f32, _) = in_f32
        .trace(text, &mut |step| match &step.name[..] {
            found if found == input => of_input = values(step),
            found if found == name => expected = values(step),
            _ => {}
        })
        .unwrap();
    let replace_input = &mut |step: &TraceStep<'_>| {
        if step.name == name {
            own = values(step);
        }
        (step.name == input).then(|| of_input.clone())
    };
    model.trace_patched(text, replace_input).unwrap();
    let found = errors.steps[place].own.relative();
    assert_eq!(found, Deviation::of(&own, &expected).relative());
    assert!(found > 1e-4 && found < 0.1, "{found}");

    let replace_output = &mut |step: &TraceStep<'_>| (step.name == name).then(|| own.clone());
    let (vector, _) = in_f32.trace_patched(text, replace_output).unwrap();
    let loss = 1.0 - Agreement::of_two(&vector, &vector_f32);
    assert_eq!(errors.steps[place].loss_alone, loss);
    assert!(loss > 0.0, "{loss}");
}
